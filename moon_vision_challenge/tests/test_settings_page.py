"""docs/settings.md lists the environment variables that config/settings reads, with their defaults, and no others."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import base
from moon_vision_challenge.tests.documents import section
from native.environment import ROOT

PAGE = "docs/settings.md"
MODULES = sorted((ROOT / "config" / "settings").glob("*.py"))


def calls_of_env(module: Path) -> Iterator[ast.Call]:
    """Yield calls such as env.int("NAME", default=1) and env("NAME")."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call):
            function = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            if isinstance(function, ast.Name) and function.id == "env":
                yield node


def shown_default(call: ast.Call) -> str:
    """Return the default as the page shows it: `value`, "empty", or "required"."""
    default = next((keyword.value for keyword in call.keywords if keyword.arg == "default"), None)
    if default is None:
        return "required"
    if isinstance(default, ast.Name):  # another setting
        return f"`{default.id}`"
    names: dict[str, Any] = {**vars(base), "ROOT_DIR": Path()}
    value = eval(compile(ast.Expression(default), PAGE, "eval"), names)
    text = ",".join(value) if isinstance(value, list) else str(value)
    return f"`{text}`" if text else "empty"


def read_variables() -> dict[str, str]:
    calls = [call for module in MODULES for call in calls_of_env(module)]
    return {ast.literal_eval(call.args[0]): shown_default(call) for call in calls}


def listed_variables() -> dict[str, str]:
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \| ([^|]+) \|", section(PAGE, "Service"), re.MULTILINE)
    assert len(dict(rows)) == len(rows), "a variable is listed twice"
    return dict(rows)


def test_the_page_lists_what_the_settings_read_with_its_default() -> None:
    assert listed_variables() == read_variables()


def test_every_number_has_a_unit() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `[\d.]+` \| ([^|]*) \|", section(PAGE, "Service"), re.MULTILINE)
    assert [name for name, unit in rows if not unit.strip()] == []


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`([A-Z][A-Z0-9_]{4,})`", section(PAGE, "Everything around it"))))
)
def test_every_other_variable_is_read_somewhere(name: str) -> None:
    folders = [ROOT / folder for folder in ("config", "native", "compose", "deploy", "moon_vision_challenge", ".envs")]
    files = [ROOT / "Makefile", ROOT / "Procfile", *ROOT.glob("*.yml")]
    files += [path for folder in folders for path in folder.rglob("*") if path.is_file() and "tests" not in path.parts]
    assert any(name.encode() in path.read_bytes() for path in files)
