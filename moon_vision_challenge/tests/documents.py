"""The README and the pages in docs/: their fenced blocks, sections, and links."""

import re
from pathlib import Path
from typing import NamedTuple

from native.environment import ROOT

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BASE_URL = "http://127.0.0.1:8000"

_BLOCK = re.compile(
    r"(?P<mark><!-- not executed: [^\n]+ -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    language: str
    text: str
    is_executed: bool
    """False: a comment in front of it says why it isn't."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text(page: str) -> str:
    return (ROOT / page).read_text()


def prose(page: str) -> str:
    """Return the page without its fenced blocks."""
    return _BLOCK.sub("", text(page))


def all_blocks(page: str) -> list[Block]:
    return [Block(match["language"], match["text"], not match["mark"]) for match in _BLOCK.finditer(text(page))]


def blocks(page: str, language: str, containing: str = "") -> list[str]:
    """Return the executed blocks of a language."""
    found = all_blocks(page)
    return [one.text for one in found if one.language == language and one.is_executed and containing in one.text]


def block(page: str, language: str, containing: str = "") -> str:
    (found,) = blocks(page, language, containing)
    return found


def section(page: str, heading: str) -> str:
    """Return what is under a heading, up to the next heading of the same level or a higher one."""
    _, _, rest = text(page).partition(f"\n## {heading}\n")
    return rest.partition("\n## ")[0]


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and the site generator make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    without_blocks = _BLOCK.sub("", page.read_text())
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", without_blocks, re.MULTILINE)}
