"""Reads the label of each class from the files that trainers write."""

import ast
import csv
import json
import re
from pathlib import Path
from typing import Any

_INDEX = re.compile(r"([0-9]{1,7})(?:\s*[:,;]\s*|\s+)(.+)")  # "0 tench", "0: tench", "0,tench"
_INDEX_LAST = re.compile(r"(.+?)\s*[\t,;]\s*([0-9]{1,7})")  # "tench,0"
_WORDNET_ID = re.compile(r"(n[0-9]{8})(?:\s*[:,;]\s*|\s+)(.+)")  # "n01440764 tench"
_INDEX_COLUMNS = ("index", "id", "class_id", "label_id", "class_index", "class id", "idx")
_LABEL_COLUMNS = ("label", "name", "class_name", "label_name", "class name", "display_name", "class", "category")
_WRAPPERS = ("id2label", "label2id", "labels", "names", "class_names", "classes", "categories")
_SAVE_AS = "save the labels as text, one per line, or as a JSON list"


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the label of each class, in the order of the model's output.

    A text file (UTF-8) has one label per line, starting with class 0. Every line may start with the index (`0 tench`,
    `0: tench`) or the WordNet id (`n01440764 tench`), or end with the index (`tench,0`). A CSV file has a column of
    labels and may have a column of indexes. A JSON file is a list of labels, an object of index → label or
    index → [id, label], an object of label → index, or an object that has one of these under a usual name, such as
    `id2label`. A Python literal of the same form is also read. A byte order mark, CRLF and empty lines at the end are
    ignored.

    Raises:
        OSError: the file cannot be read.
        ValueError: the form of the file is not supported, a label is empty, or there are no labels.
    """
    text, suffix = _read_text(path), path.suffix.lower()
    if suffix == ".json" or text.lstrip().startswith("{"):
        return _read_json(path, text)
    if text.lstrip().startswith("[") and (found := _parse(text)) is not None:
        return _labels_of(path, found)
    if suffix in (".csv", ".tsv"):
        return _read_table(path, text)
    lines = _lines_of(path, text)
    is_structured = suffix in (".yaml", ".yml", ".pbtxt") and not all(map(_INDEX.fullmatch, lines))
    if is_structured or lines[0] in ("item {", "names:"):
        raise ValueError(f"{path}: files of this form are not read: {_SAVE_AS}")
    return tuple(_without_wordnet_ids(_without_indices(_without_quotes(lines))))


def labels_of_json(value: Any) -> tuple[str, ...]:
    """Return the labels of a parsed JSON list or object, as `read_labels` describes. Raises ValueError."""
    if isinstance(value, dict):
        value = next(
            (value[name] for name in _WRAPPERS if value.get(name) and isinstance(value[name], dict | list)), value
        )
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


def _read_text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: this is not UTF-8 text (byte {error.start + 1}): save the file as UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{path}: this is not UTF-8 text (it has a NUL character): save the file as UTF-8")
    return text


def _read_json(path: Path, text: str) -> tuple[str, ...]:
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"{path}: the JSON is nested too deeply") from None
    except ValueError as error:
        value = _parse(text)
        if value is None:
            raise ValueError(f"{path}: {error}") from error
    return _labels_of(path, value)


def _labels_of(path: Path, value: Any) -> tuple[str, ...]:
    try:
        return labels_of_json(value)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parse(text: str) -> Any:
    """Parse JSON or a Python literal, with the keys as text. Return None if the text is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text.strip())
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        return {str(key): one for key, one in value.items()} if isinstance(value, dict) else value
    return None


def _read_table(path: Path, text: str) -> tuple[str, ...]:
    """Read a CSV file with or without a header."""
    first = text.partition("\n")[0]
    delimiter = next((one for one in "\t;," if one in first), ",")
    rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter, skipinitialspace=True) if any(row)]
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    labels_at = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
    index_at = next((header.index(name) for name in _INDEX_COLUMNS if name in header), None)
    if labels_at is None:
        if len({len(row) for row in rows}) > 1 or (rows and len(rows[0]) > 2):
            raise ValueError(f"{path}: it is not clear which column holds the labels: {_SAVE_AS}")
        lines = ["\t".join(row) for row in rows]
    else:
        columns = [labels_at] if index_at is None else [index_at, labels_at]
        if any(len(row) <= max(columns) for row in rows):
            raise ValueError(f"{path}: a row has fewer columns than the header")
        lines = ["\t".join(row[column] for column in columns) for row in rows[1:]]
    return tuple(_without_wordnet_ids(_without_indices(_lines_of(path, "\n".join(lines)))))


def _in_order(value: dict[str, Any]) -> list[Any]:
    """Sort index → label, or label → index (Keras's `class_indices`). Every index must occur once, starting at 0."""
    count = len(value)
    if value and all(type(index) is int for index in value.values()):
        value = {str(index): label for label, index in value.items()}
    missing = next((index for index in range(count) if str(index) not in value), None)
    if missing is not None:
        raise ValueError(f"class {missing} is missing: expected the classes 0 to {count - 1}")
    return [value[str(index)] for index in range(count)]


def _lines_of(path: Path, text: str) -> list[str]:
    labels = [line.strip() for line in re.split(r"\r\n|\n|\r", text.rstrip())]
    if "" in labels:
        raise ValueError(f"{path}: line {labels.index('') + 1} holds no label")
    return labels


def _without_quotes(lines: list[str]) -> list[str]:
    is_quoted = all(len(line) > 2 and line[0] == line[-1] and line[0] in "'\"" for line in lines)
    return [line[1:-1] for line in lines] if is_quoted else lines


def _without_indices(lines: list[str]) -> list[str]:
    """Return the labels in the order of the indexes if every line has an index. Otherwise, return the lines."""
    for form, index_at, label_at in ((_INDEX, 1, 2), (_INDEX_LAST, 2, 1)):
        found = [form.fullmatch(line) for line in lines]
        by_index = {int(match[index_at]): match[label_at] for match in found if match}
        for first in (0, 1) if len(lines) > 1 else (0,):
            if by_index.keys() == set(range(first, first + len(lines))):
                return [by_index[index] for index in sorted(by_index)]
    return lines


def _without_wordnet_ids(lines: list[str]) -> list[str]:
    found = [_WORDNET_ID.fullmatch(line) for line in lines]
    return [match[2] for match in found if match] if all(found) else lines
