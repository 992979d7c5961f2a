"""Adds a model to models.config and leaves every other character unchanged."""

import re

from moon_vision_challenge.model_zoo.errors import AddError
from moon_vision_challenge.text_format import ConfigError, Field, parse_text_format

_LIST = "model_config_list"
_SKIPPED = re.compile(r"""\#[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")


def is_listed(text: str, name: str) -> bool:
    """Return whether models.config lists a model of this name. Raises AddError."""
    return name in _names(_parse(text))


def with_model(text: str, name: str, base_path: str) -> str:
    """Return the file with one more config at the end of its list. Raises AddError."""
    fields = _parse(text)
    if name in _names(fields):
        return text
    config = f"  config {{\n    name: '{name}'\n    base_path: '{base_path}'\n    model_platform: 'tensorflow'\n  }}\n"
    if not any(field.name == _LIST for field in fields):
        changed = f"{text}{_LIST} {{\n{config}}}\n"
    else:
        end = _end_of_list(text)
        line_start = text.rfind("\n", 0, end) + 1
        at = line_start if not text[line_start:end].strip() else end
        before = text[:at] if at == line_start or text[:at].endswith("\n") else text[:at] + "\n"
        changed = before + config + text[at:]
    if _names(_parse(changed)) != [*_names(fields), name]:
        raise AddError("models.config has a form that cannot be edited: list the model by hand.")
    return changed


def _parse(text: str) -> list[Field]:
    try:
        return parse_text_format(text)
    except ConfigError as error:
        raise AddError(f"models.config cannot be read: {error}.") from error


def _names(fields: list[Field]) -> list[str]:
    lists = [one.value for one in fields if one.name == _LIST and isinstance(one.value, list)]
    configs = [one.value for inner in lists for one in inner if one.name == "config" and isinstance(one.value, list)]
    names = [one.value for config in configs for one in config if one.name == "name"]
    return [value.text for value in names if not isinstance(value, list)]


def _end_of_list(text: str) -> int:
    """Return the position of the bracket that closes the list."""
    blank = _SKIPPED.sub(lambda match: " " * len(match[0]), text)  # brackets in strings and comments do not count
    depth = 0
    for match in re.compile(r"[{}<>]").finditer(blank, blank.index(_LIST)):
        depth += 1 if match[0] in "{<" else -1
        if depth == 0:
            return match.start()
    raise AddError("models.config has a form that cannot be edited: list the model by hand.")
