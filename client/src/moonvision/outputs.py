"""Where results go: a table, JSON lines, or CSV; to the terminal or to a file that a second run continues."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from moonvision.errors import MoonVisionError
from moonvision.results import Result

COLUMNS = ("image", "label", "score", "error", "predictions")


def record(result: Result) -> dict[str, Any]:
    """One row. `predictions` are the most probable classes, best first."""
    found = result.classification
    return {
        "image": result.name,
        "label": found.label if found else "",
        "score": found.score if found else None,
        "error": str(result.error) if result.error else "",
        "predictions": [vars(each) for each in found.predictions] if found else [],
    }


def json_line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def csv_line(row: dict[str, Any]) -> str:
    return _csv([row["image"], row["label"], row["score"], row["error"], json.dumps(row["predictions"])])


def table_line(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"{row['image']}\terror: {row['error']}\n"
    predictions = row["predictions"] or [{"label": row["label"], "score": None}]
    texts = [each["label"] + ("" if each["score"] is None else f" {each['score']:.3f}") for each in predictions]
    return f"{row['image']}\t" + "\t".join(texts) + "\n"


def _csv(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {"table": table_line, "jsonl": json_line, "csv": csv_line}


class ResultFile:
    """A file of JSON lines or CSV. Opening it again continues it: `done` has the names that it already holds.

    Each row is written whole, so a killed run leaves at most one incomplete last line, which is removed.
    """

    def __init__(self, path: Path, format_name: str) -> None:
        self._path = path
        self._format = FORMATS[format_name]
        self._is_csv = format_name == "csv"
        self.done: set[str] = set()
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            complete = self._read_complete()
            self._file = self._path.open("r+" if self._path.exists() else "w", encoding="utf-8", newline="")
            self._file.seek(complete)
            self._file.truncate()
            if complete == 0 and self._is_csv:
                self._file.write(_csv(list(COLUMNS)))
        except OSError as error:
            raise MoonVisionError(f"{self._path}: {error.strerror}") from error
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._file:
            self._file.close()

    def write(self, row: dict[str, Any]) -> None:
        assert self._file is not None  # noqa: S101 - for mypy: it is open inside the context
        self._file.write(self._format(row))
        self._file.flush()

    def _read_complete(self) -> int:
        """Collect the names, and return the length of the complete lines in bytes."""
        if not self._path.exists():
            return 0
        complete = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                if not (self._is_csv and number == 0):
                    self.done.add(self._name(line.decode("utf-8"), number + 1))
                complete += len(line)
        return complete

    def _name(self, line: str, number: int) -> str:
        try:
            return str(next(csv.reader([line]))[0] if self._is_csv else json.loads(line)["image"])
        except (ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
            raise MoonVisionError(
                f"{self._path}, line {number}, is not a result of this command. Choose another file."
            ) from error
