"""Reads of TensorFlow Serving's models.config what the gateway wants to know: which models, and their version labels.

The model server is who checks the file; here, what is not understood is left out.
"""

import re
from collections.abc import Iterator
from pathlib import Path

# https://protobuf.dev/reference/protobuf/textformat-spec/
_TOKEN = re.compile(r"""\#[^\n]*|'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|([\w.+-]+)|([{}<>])""")

_Message = dict[str, list["_Message | str"]]


def read_version_labels(path: Path) -> dict[str, dict[str, int]]:
    """Model name → version label → version, of all models listed. Raises OSError."""
    tokens = (match for match in _TOKEN.finditer(path.read_text(encoding="utf-8")) if match.lastindex)
    return {
        name: {label: int(version) for entry in _messages(model, "version_labels") for label, version in _entry(entry)}
        for model_list in _messages(_read_message(tokens), "model_config_list")
        for model in _messages(model_list, "config")
        for name in _texts(model, "name")
    }


def _read_message(tokens: Iterator[re.Match[str]]) -> _Message:
    message: _Message = {}
    name = ""
    for token in tokens:
        text = next(group for group in token.groups() if group is not None)
        if token[4] and text in "}>":
            break
        if token[4]:
            message.setdefault(name, []).append(_read_message(tokens))
            name = ""
        elif name:
            message.setdefault(name, []).append(text)
            name = ""
        else:
            name = text
    return message


def _messages(message: _Message, name: str) -> list[_Message]:
    return [value for value in message.get(name, []) if isinstance(value, dict)]


def _texts(message: _Message, name: str) -> list[str]:
    return [value for value in message.get(name, []) if isinstance(value, str)]


def _entry(entry: _Message) -> Iterator[tuple[str, str]]:
    return (pair for pair in zip(_texts(entry, "key"), _texts(entry, "value"), strict=False) if pair[1].isdecimal())
