"""Keeps a body that is too large for memory in a temporary file."""

import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

BLOCK_BYTES = 1024 * 1024
"""The size that is collected in memory before it is written."""


class Spool:
    """A file that exists until `close`. The application may move it before that, to keep it.

    The methods may run in any thread. They raise OSError if the disk accepts no more data.
    """

    def __init__(self, folder: str) -> None:
        self._lock = threading.Lock()
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - the limits hold plain values
        descriptor, self.path = tempfile.mkstemp(dir=folder, prefix="upload-")
        self._file: IO[bytes] = open(descriptor, "r+b")  # noqa: PTH123, SIM115 - it takes a descriptor

    def write(self, parts: Sequence[bytes]) -> None:
        """Append the parts. Do nothing after `close`: the client has disconnected."""
        with self._lock:
            if not self._file.closed:
                self._file.writelines(parts)
                self._file.flush()

    @property
    def is_closed(self) -> bool:
        return self._file.closed

    def rewound(self) -> IO[bytes]:
        """Return the file, at its beginning."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        with self._lock:
            with suppress(OSError):  # closing flushes what could not be written
                self._file.close()
            with suppress(FileNotFoundError):
                os.unlink(self.path)  # noqa: PTH108
