"""Writes the class that declares a model, into a new file or at the end of an existing one."""

import ast
from collections.abc import Mapping
from typing import Any

from moon_vision_challenge.model_zoo.errors import AddError

_PACKAGE = "moon_vision_challenge.classification"
_IMPORTS = {
    "Path": "from pathlib import Path",
    "classificators": f"from {_PACKAGE}.dispatchers import dispatcher as classificators",
    "read_labels": f"from {_PACKAGE}.labels import read_labels",
    "ServedModelClassificator": f"from {_PACKAGE}.served_model import ServedModelClassificator",
}


def class_name(model_type: str) -> str:
    """Convert `my-flowers.v2` to `MyFlowersV2Classificator`."""
    words = "".join(one if one.isalnum() else " " for one in model_type).split()
    name = "".join(word[0].upper() + word[1:] for word in words)
    return ("Model" if not name or name[0].isdecimal() else "") + name + "Classificator"


def class_text(model_type: str, said: Mapping[str, Any], labels_file: str | None) -> str:
    """Return the source of the class, without its imports."""
    lines = [f"model_type = {model_type!r}", *(f"{name} = {value!r}" for name, value in said.items())]
    if labels_file:
        lines.append(f"labels = read_labels(Path(__file__).with_name({labels_file!r}))")
    body = "".join(f"    {line}\n" for line in lines).replace("'", '"')
    return f"@classificators.register\nclass {class_name(model_type)}(ServedModelClassificator):\n{body}"


def with_class(source: str, text: str) -> str:
    """Return a module with one more class and the imports that it needs. Raises AddError."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise AddError(f"The file to write to is not Python: line {error.lineno}: {error.msg}.") from error
    name = ast.parse(text).body[0].name  # type: ignore[attr-defined]  # the class from class_text
    if any(isinstance(one, ast.ClassDef) and one.name == name for one in tree.body):
        raise AddError(f"The file to write to already has a class {name}.")
    known = _top_level_names(tree)
    missing = [line for imported, line in _IMPORTS.items() if imported in text and imported not in known]
    lines = source.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    at = _end_of_imports(tree)
    imports = [f"{line}\n" for line in missing]
    if not lines and imports[0] == f"{_IMPORTS['Path']}\n":
        imports.insert(1, "\n")
    head, rest = lines[:at], lines[at:]
    if imports and at == 0 and rest:
        imports.append("\n")
    return "".join([*head, *imports, *rest, "\n\n", text])


def _top_level_names(tree: ast.Module) -> set[str]:
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def _end_of_imports(tree: ast.Module) -> int:
    """Return the line after the last import, or after the docstring."""
    ends = [node.end_lineno or 0 for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    first = tree.body[0] if tree.body else None
    if not ends and isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        ends = [first.end_lineno or 0]
    return max(ends, default=0)
