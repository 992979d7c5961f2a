"""Class index → label, from the files that trainers write."""

import json
import re
from pathlib import Path
from typing import Any

_INDEX = re.compile(r"([0-9]{1,7})(?:\s*[:,;]\s*|\s+)(.+)")  # "0 tench", "0: tench", "0,tench"
_WORDNET_ID = re.compile(r"(n[0-9]{8})(?:\s*[:,;]\s*|\s+)(.+)")  # "n01440764 tench"


def read_labels(path: Path) -> tuple[str, ...]:
    """The label of each class, in the order of the model's output.

    A text file (UTF-8) has one label per line, starting with class 0. Every line may start with the index (`0 tench`,
    `0: tench`) or the WordNet id (`n01440764 tench`). A JSON file is a list of labels, an object of index → label
    or index → [id, label], an object of label → index, or a Hugging Face `config.json` with its `id2label`.
    A byte order mark, CRLF and empty lines at the end are ignored.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file has another form, a label is empty, or there are none.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: this is not UTF-8 text (byte {error.start + 1}): save the file as UTF-8") from None
    if path.suffix == ".json" or text.lstrip().startswith("{"):
        return _read_json(path, text)
    return _read_lines(path, text)


def labels_of_json(value: Any) -> tuple[str, ...]:
    """The labels of a parsed JSON list or object, as `read_labels` describes. Raises ValueError."""
    if isinstance(value, dict) and isinstance(value.get("id2label"), dict):
        value = value["id2label"]
    if isinstance(value, dict):
        value = _in_order(value)
    if not isinstance(value, list):
        raise ValueError("expected a list of labels or an object of index and label")
    labels = tuple(one[-1] if isinstance(one, list) and one else one for one in value)
    for index, label in enumerate(labels):
        if not (isinstance(label, str) and label.strip()):
            raise ValueError(f"class {index} has no label")
    if not labels:
        raise ValueError("there are no labels")
    return tuple(label.strip() for label in labels)


def _read_json(path: Path, text: str) -> tuple[str, ...]:
    try:
        return labels_of_json(json.loads(text))
    except RecursionError:
        raise ValueError(f"{path}: the JSON is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _in_order(value: dict[str, Any]) -> list[Any]:
    """Index → label, or label → index as Keras' `class_indices`. Every index must occur once, starting at 0."""
    count = len(value)
    if value and all(type(index) is int for index in value.values()):
        value = {str(index): label for label, index in value.items()}
    missing = next((index for index in range(count) if str(index) not in value), None)
    if missing is not None:
        raise ValueError(f"class {missing} is missing: expected the classes 0 to {count - 1}")
    return [value[str(index)] for index in range(count)]


def _read_lines(path: Path, text: str) -> tuple[str, ...]:
    labels = [line.strip() for line in re.split(r"\r\n|\n|\r", text.rstrip())]
    if "" in labels:
        raise ValueError(f"{path}: line {labels.index('') + 1} holds no label")
    return tuple(_without_wordnet_ids(_without_indices(labels)))


def _without_indices(lines: list[str]) -> list[str]:
    """If every line starts with its class's index, the labels in the order of the indexes. Otherwise the lines."""
    found = [_INDEX.fullmatch(line) for line in lines]
    by_index = {int(match[1]): match[2] for match in found if match}
    for first in (0, 1) if len(lines) > 1 else (0,):
        if by_index.keys() == set(range(first, first + len(lines))):
            return [by_index[index] for index in sorted(by_index)]
    return lines


def _without_wordnet_ids(lines: list[str]) -> list[str]:
    found = [_WORDNET_ID.fullmatch(line) for line in lines]
    return [match[2] for match in found if match] if all(found) else lines
