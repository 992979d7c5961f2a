"""Keeps what the services print, in one file of bounded size per service."""

import os
import shutil
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from honcho.printer import Message, Printer

MAX_BYTES = 10_000_000  # of one file. Each service has at most two.
LAST_LINES = 15


class Logs:
    """`<name>.log` holds the current output of the service, `<name>.log.1` the earlier output."""

    def __init__(self, folder: Path, names: Iterable[str], *, echo: bool) -> None:
        self._folder = folder
        self._printer = Printer(sys.stdout, width=max(map(len, names))) if echo else None
        self._printed: dict[str, int] = {}  # bytes of each file that the terminal has shown, by name
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def open_new(self, name: str) -> BinaryIO:
        log = self.path(name)
        if log.exists():
            log.replace(_previous(log))
        self._printed[name] = 0
        return log.open("ab")  # append, so that after rotation the service writes at the file's new end

    def last_lines(self, name: str) -> str:
        with self.path(name).open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - 64_000))
            last = log.read().decode(errors="replace").splitlines()[-LAST_LINES:]
        return "".join(f"    {line}\n" for line in last)

    def tend(self) -> None:
        """Print new lines, if lines are shown, and rotate files that have become too large."""
        for name in self._printed:
            if self._printer is not None:
                self._print_new_lines(name, self._printer)
            if self.path(name).stat().st_size > MAX_BYTES:
                self._rotate(name)

    def _rotate(self, name: str) -> None:
        """Copy and truncate the file, because the service keeps it open. A line written in between is lost."""
        log = self.path(name)
        shutil.copyfile(log, _previous(log))
        os.truncate(log, 0)
        self._printed[name] = 0

    def _print_new_lines(self, name: str, printer: Printer) -> None:
        with self.path(name).open("rb") as log:
            log.seek(self._printed[name])
            new, newline, _ = log.read().rpartition(b"\n")
        self._printed[name] += len(new + newline)
        if new:
            printer.write(Message("line", new, datetime.now().astimezone(), name, None))


def _previous(log: Path) -> Path:
    return log.with_name(log.name + ".1")
