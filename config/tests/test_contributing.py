"""What a contributor relies on: hooks, lock files, and continuous integration agree."""

import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

ROOT: Path = settings.ROOT_DIR
INSTALLED_TOGETHER = ["local", "native", "production", "model_server", "model_zoo", "tensorflow", "exports"]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def load(file: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / file).read_text())
    return loaded


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(lock: Path) -> dict[str, set[str]]:
    """Return the versions of each package: several if they depend on the platform."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE):
        found.setdefault(normalized(name), set()).add(version)
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_holds_what_its_sources_name(lock: Path) -> None:
    command = lock.read_text().splitlines()[1]
    sources = re.findall(r"(\w+\.in)\b", command)
    assert sources
    named = {
        normalized(name)
        for source in sources
        for name in re.findall(r"^[\w.-]+", (lock.parent / source).read_text(), re.MULTILINE)
    }
    assert named <= versions(lock).keys()


@pytest.mark.parametrize("others", [*combinations(INSTALLED_TOGETHER, 2)], ids="-".join)
def test_locks_agree_about_versions(others: tuple[str, str]) -> None:
    """A lock file for fewer platforms may have fewer versions of a package."""
    one, other = (versions(ROOT / "requirements" / f"{name}.txt") for name in others)
    shared = {package: (one[package], other[package]) for package in one.keys() & other.keys()}
    assert {
        package: found for package, found in shared.items() if not (found[0] <= found[1] or found[1] <= found[0])
    } == {}


def test_hooks_run_the_locked_tools_that_make_lint_runs() -> None:
    lint = subprocess.run(["make", "-n", "lint"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)
    [repository] = load(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system", hook["id"]
        program = hook["entry"].split()[0]
        assert program == "git" or program in lint.stdout, hook["id"]


def test_the_guide_names_commands_and_files_that_exist() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    targets = re.findall(r"^([a-z0-9_]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:^|`)make ([a-z0-9_]+)", guide, re.MULTILINE)) <= set(targets)
    [(file, test)] = re.findall(r"(\S+\.py)::(\w+)", guide)
    assert f"def {test}(" in (ROOT / file).read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", guide + (ROOT / "SECURITY.md").read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_workflow_runs_what_ci_run_lists() -> None:
    parts = re.findall(r"^([a-z]+)\)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    steps = [
        step for job in load(".github/workflows/ci.yml")["jobs"].values() for step in job["steps"] if "run" in step
    ]
    assert [step["run"] for step in steps if step.get("if") != "failure()"] == [f".ci/run {part}" for part in parts]


def test_an_unknown_part_of_ci_is_refused() -> None:
    done = subprocess.run([ROOT / ".ci" / "run", "nativ"], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 2
    assert "native, coverage, hostile, tensorflow, audit, kubernetes, containers or production" in done.stderr
