"""Writes results as a table, JSON lines, or CSV, to the terminal or to a file that a second run continues."""

import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from moonvision.errors import MoonVisionError
from moonvision.results import Result

with suppress(ImportError):  # not on Windows
    import fcntl

# What spreadsheets read as a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = ("=", "+", "-", "@")
# Includes what Python and JavaScript treat as the end of a line
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BOM = "\ufeff"

COLUMNS = ("image", "label", "score", "error", "predictions")


def record(result: Result) -> dict[str, Any]:
    """Return the row for a result. `predictions` are the most probable classes, best first."""
    found = result.classification
    return {
        "image": result.name,
        "label": found.label if found else "",
        "score": found.score if found else None,
        "error": str(result.error) if result.error else "",
        "predictions": [vars(each) for each in found.predictions] if found else [],
    }


def shown(text: str) -> str:
    """Escape what a terminal acts on, what ends a line, and what UTF-8 lacks: a file name can have any bytes."""
    text = text.encode(errors="backslashreplace").decode()
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def json_line(row: dict[str, Any]) -> str:
    line = json.dumps(row, ensure_ascii=False)
    return (line if line.isprintable() else json.dumps(row)) + "\n"


def csv_header() -> str:
    return _csv(list(COLUMNS))


def csv_line(row: dict[str, Any]) -> str:
    return _csv(
        [cell(row["image"]), cell(row["label"]), row["score"], cell(row["error"]), json.dumps(row["predictions"])]
    )


def cell(text: str) -> str:
    """Return the text on one line, with a leading quote if a spreadsheet would read it as a formula."""
    text = shown(text)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def table_line(row: dict[str, Any]) -> str:
    name = shown(row["image"])
    if row["error"]:
        return f"{name}\terror: {shown(row['error'])}\n"
    predictions = row["predictions"] or [{"label": row["label"], "score": None}]
    texts = [shown(each["label"]) + ("" if each["score"] is None else f" {each['score']:.3f}") for each in predictions]
    return f"{name}\t" + "\t".join(texts) + "\n"


def _csv(values: list[Any]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {"table": table_line, "jsonl": json_line, "csv": csv_line}


def prepare_stdout(encoding: str | None = None) -> None:
    """Make standard output show characters that its encoding lacks as codes, instead of raising an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")


def begin(format_name: str) -> None:
    """Prepare standard output for the first row. Formats for programs are UTF-8 in any locale."""
    if format_name != "table":
        prepare_stdout(encoding="utf-8")
    if format_name == "csv":
        sys.stdout.write(csv_header())


class ResultFile:
    """A file of JSON lines or CSV. Opening it again continues it: `done` holds the names that are already in it.

    Each row is written whole, so a killed run leaves at most one incomplete last line, which is removed.
    """

    def __init__(self, path: Path, format_name: str) -> None:
        self._path = path
        self._format = FORMATS[format_name]
        self._is_csv = format_name == "csv"
        self.done: set[str] = set()
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            if self._path.exists() and not self._path.is_file():
                raise MoonVisionError(
                    f"{self._path}: not a regular file. Without --output, results go to the terminal."
                )
            self._file = self._path.open("a+b")
            self._continue(self._file)
        except OSError as error:
            raise self._told(error) from error
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        try:
            if self._file:
                self._file.close()
        except OSError as error:
            raise self._told(error) from error

    def has(self, name: str) -> bool:
        """Return whether an earlier run has written the result of this image."""
        return (cell(name) if self._is_csv else name) in self.done

    def write(self, row: dict[str, Any]) -> None:
        assert self._file is not None  # noqa: S101 - for mypy: it is open inside the context
        try:
            self._file.write(self._format(row).encode())
            self._file.flush()
        except OSError as error:
            raise self._told(error) from error

    def _told(self, error: OSError) -> MoonVisionError:
        return MoonVisionError(f"{self._path}: {error.strerror}")

    def _continue(self, file: IO[bytes]) -> None:
        try:
            self._lock(file)
            file.seek(0)
            complete = self._read_complete(file)
        except MoonVisionError:
            file.close()
            raise
        file.truncate(complete)
        if complete == 0 and self._is_csv:
            file.write(csv_header().encode())

    def _lock(self, file: IO[bytes]) -> None:
        """Lock the file until it is closed. Windows and some file systems have no such locks."""
        try:
            if os.name == "posix":
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = f"{self._path}: another run writes to it. Wait for its end, or choose another file."
            raise MoonVisionError(text) from error
        except OSError:
            pass

    def _read_complete(self, file: IO[bytes]) -> int:
        """Collect the names, and return the length of the complete lines in bytes."""
        complete = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                if number == 1 and not self._begins_like(line):
                    raise self._is_other(number)
                break
            self._read(line, number)
            complete += len(line)
        return complete

    def _read(self, line: bytes, number: int) -> None:
        try:
            if not self._is_csv:
                self.done.add(str(json.loads(line)["image"]))
                return
            cells = next(csv.reader([line.decode()], strict=True))
            if number == 1:
                cells[0] = cells[0].removeprefix(_BOM)
            if len(cells) != len(COLUMNS) or (number == 1 and cells != list(COLUMNS)):
                raise ValueError
            if number > 1:
                self.done.add(cells[0])
        except (ValueError, KeyError, TypeError, IndexError, StopIteration, csv.Error) as error:
            raise self._is_other(number) from error

    def _begins_like(self, line: bytes) -> bool:
        """Return whether a killed run could have left this as its first line."""
        begin = csv_header().encode() if self._is_csv else b'{"image": "'
        return line.startswith(begin) or begin.startswith(line)

    def _is_other(self, number: int) -> MoonVisionError:
        return MoonVisionError(f"{self._path}, line {number}, is not a result of this command. Choose another file.")
