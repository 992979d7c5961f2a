import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from native.environment import ROOT

TOOLS = ("sh", "cat", "cksum", "dirname", "grep", "ln", "mkdir", "rm", "sed")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with what bootstrap.sh reads, beside a PATH (`bin`) of POSIX tools and nothing else."""
    path = tmp_path / "checkout"
    for part in ("native", "requirements"):
        shutil.copytree(ROOT / part, path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or pytest.fail(f"no {tool} here"))
    return path


def program(checkout: Path, name: str, script: str) -> None:
    path = checkout.parent / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def bootstrap(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "native" / "bootstrap.sh", "native"],
        env={"PATH": str(checkout.parent / "bin"), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_without_python_one_sentence_says_what_to_install(checkout: Path) -> None:
    done = bootstrap(checkout)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("No Python from 3.11 to 3.14 was found.")
    assert not (checkout / ".venv").exists()


def test_a_python_that_does_not_run_is_skipped(checkout: Path) -> None:
    program(checkout, "python3.12", "echo 'python3.12: command not found' >&2; exit 127")  # as a version manager does
    done = bootstrap(checkout)
    assert done.returncode == 1
    assert "No Python from 3.11 to 3.14 was found." in done.stderr
    assert "command not found" not in done.stderr


@pytest.mark.parametrize(("chosen", "made_with"), [("", "python3.12"), ("python3.11", "python3.11")])
def test_a_python_can_be_chosen(checkout: Path, chosen: str, made_with: str) -> None:
    for name in ("python3.12", "python3.11"):
        program(checkout, name, f'case "$*" in *venv*.venv*) echo made with {name} && exit 1 ;; esac')
    assert f"made with {made_with}" in bootstrap(checkout, PYTHON=chosen).stdout


@pytest.mark.parametrize(("minor", "is_used"), [(10, False), (11, True), (13, True), (14, True), (15, False)])
@pytest.mark.parametrize("name", ["python3", "chosen"])
def test_each_python_from_3_11_to_3_14_is_accepted(checkout: Path, name: str, minor: int, *, is_used: bool) -> None:
    check = f'{sys.executable} -c "import sys; sys.version_info = (3, {minor}, 0)\n$2"'
    script = f'case "$2" in *" <= sys.version_info"*) exec {check} ;; esac; [ "$1" = -c ] || echo "Python 3.{minor}"'
    program(checkout, name, script)
    done = bootstrap(checkout, **({"PYTHON": name} if name == "chosen" else {}))
    assert (f"Making .venv with Python 3.{minor}" in done.stdout) is is_used
    assert ("No Python from 3.11 to 3.14 was found" in done.stderr) is not is_used


@pytest.mark.parametrize(
    ("here", "environment", "is_enough"),
    [("", {}, False), ("redis-server", {}, True), ("", {"REDIS_URL": "redis://r"}, True)],
)
def test_redis_that_no_package_holds_must_come_from_elsewhere(
    checkout: Path, here: str, environment: dict[str, str], *, is_enough: bool
) -> None:
    program(checkout, "uv", 'case "$*" in *redis.txt*) exit 1 ;; esac; mkdir -p .venv')
    if here:
        program(checkout, here, "")
    done = bootstrap(checkout, **environment)
    assert (done.returncode == 0) is is_enough
    assert ("apt install redis-server; on macOS: brew install redis" in done.stderr) is not is_enough
    assert (checkout / ".venv" / "installed").exists() is is_enough


def test_a_python_without_venv_is_reported_with_the_command_that_installs_it(checkout: Path) -> None:
    program(
        checkout,
        "python3.11",
        'case "$*" in *ensurepip*) exit 1 ;; *"% sys.version_info"*) echo 3.11 ;; --version) echo Python 3.11 ;; esac',
    )
    done = bootstrap(checkout)
    assert done.returncode == 1
    assert "apt install python3.11-venv" in done.stderr


def test_an_installation_that_fails_says_what_to_do_and_is_not_taken_for_complete(checkout: Path) -> None:
    program(checkout, "uv", 'case "$1" in pip) echo "error: no network" >&2; exit 2 ;; *) mkdir -p .venv ;; esac')
    done = bootstrap(checkout)
    assert done.returncode == 1
    assert "error: no network" in done.stderr
    assert "run the same command again" in done.stderr
    assert not (checkout / ".venv" / "installed").exists()


@pytest.mark.parametrize(("changed", "is_skipped"), [(False, True), (True, False)])
def test_an_unchanged_lock_is_not_installed_again(checkout: Path, *, changed: bool, is_skipped: bool) -> None:
    program(checkout, "uv", 'mkdir -p .venv/bin; ln -sf "$(command -v sh)" .venv/bin/python; echo "$@" >>calls')
    assert bootstrap(checkout).returncode == 0
    calls = (checkout / "calls").read_text()
    if changed:
        with (checkout / "requirements" / "native.txt").open("a") as lock:
            lock.write("# changed\n")
    assert bootstrap(checkout).returncode == 0
    assert ((checkout / "calls").read_text() == calls) is is_skipped


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600
    ).stdout
    targets = re.findall(r"^([a-z0-9_]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets
    shown = [line.split()[0] for line in listed.splitlines() if line.startswith("  ")]
    assert shown == targets
    groups = [line for line in listed.splitlines() if line and not line.startswith("  ")]
    assert len(groups) == len(set(groups)) > 1
