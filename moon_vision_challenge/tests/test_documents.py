"""The README and docs/: links lead somewhere, what they name exists, and what they show is executed."""

import re
import subprocess
from pathlib import Path

import pytest

from moon_vision_challenge.tests.documents import PAGES, README, all_blocks, anchors, name, prose, text
from native.environment import ROOT

# Each block's test finds it by its page and by these words.
EXECUTED_PYTHON = {
    "README.md": ["class DigitClassificator"],
    "docs/api.md": ["base64.b64encode", "Idempotency-Key"],
    "docs/classificators.md": ["class FlowerClassificator", "class DigitClassificator", "keras.Sequential"],
    "docs/tutorial.md": ["onnx.save", "class ColoursClassificator"],
}
EXECUTED_SHELL = {"README.md": 2, "docs/api.md": 11, "docs/operations.md": 1, "docs/tutorial.md": 6}

FOLDERS = [ROOT, ROOT / "moon_vision_challenge", ROOT / "moon_vision_challenge" / "classification"]
# What a reader or a command creates.
MADE = ("NAME/", ".run/", ".venv/", ".envs/", "models/", "backups/", "media/", "colours/", "assets.extra/")

pages = pytest.mark.parametrize("page", [name(page) for page in PAGES])


@pages
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pages
def test_every_page_is_reached_from_the_readme(page: str) -> None:
    reached, new = set(), {README}
    while new:
        reached |= new
        links = {
            (one.parent / target.partition("#")[0]).resolve()
            for one in new
            for target in re.findall(r"\]\(([^)\s:]+\.md[^)\s]*)\)", one.read_text())
        }
        new = links - reached
    assert ROOT / page in reached


@pages
def test_every_path_it_names_exists(page: str) -> None:
    titles = re.findall(r'^```\w+ title="([^"]+)"', text(page), re.MULTILINE)
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)*(?:\.(?:py|yml|toml|svg)|/))`", prose(page))
    missing = [
        path
        for path in named
        if path not in titles and not path.startswith(MADE) and not any((folder / path).exists() for folder in FOLDERS)
    ]
    assert missing == []


@pages
def test_every_setting_it_names_is_read_somewhere(page: str) -> None:
    sources = [*(ROOT / "config").rglob("*.py"), *(ROOT / "native").glob("*.py"), *ROOT.glob("*.yml")]
    sources += [
        path for folder in ("compose", "deploy", ".envs") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    everything = "\n".join(path.read_text() for path in [*sources, ROOT / "Makefile"])
    variables = set(re.findall(r"`((?:DJANGO|INFERENCE|TF|CELERY|WEB|WEBHOOK|API|FLOWER|MODEL)_[A-Z_]+)`", prose(page)))
    assert {variable for variable in variables if variable not in everything} == set()


@pages
def test_every_snippet_is_executed_or_says_why_not(page: str) -> None:
    executed = [block for block in all_blocks(page) if block.is_executed]
    python = [block.text for block in executed if block.language == "python"]
    words = EXECUTED_PYTHON.get(page, [])
    assert len(python) == len(words)
    assert all(any(word in block for block in python) for word in words)
    assert sum(block.language == "sh" for block in executed) == EXECUTED_SHELL.get(page, 0)


TARGETS = sorted(
    {
        target
        for page in PAGES
        for block in all_blocks(name(page))
        for target in re.findall(r"^make (\w+)", block.text, re.MULTILINE)
    }
    | {target for page in PAGES for target in re.findall(r"`make (\w+)", page.read_text())}
)


@pytest.mark.parametrize("target", TARGETS)
def test_every_make_command_exists(target: str) -> None:
    result = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert result.returncode == 0, result.stderr


def test_every_page_that_the_code_names_exists() -> None:
    folders = [ROOT / folder for folder in ("config", "moon_vision_challenge", "native", "bench", "compose")]
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    ours = re.compile(r"(?<!/)docs/[\w/.-]+\.md")
    named = {(path, page) for path in sources for page in ours.findall(path.read_text()) if path != _THIS}
    assert {(str(path), page) for path, page in named if not (ROOT / page).exists()} == set()


def test_the_site_lists_every_page() -> None:
    navigation = (ROOT / "zensical.toml").read_text()
    listed = set(re.findall(r'"([\w/-]+\.md)"', navigation))
    assert {f"docs/{page}" for page in listed} == {name(page) for page in PAGES if page != README}


_THIS = Path(__file__)
