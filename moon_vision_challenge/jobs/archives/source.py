"""The bytes of a container: a range of a file."""

import ctypes
import io
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 64 * 1024
_PUNCH_HOLE_KEEP_SIZE = 0x02 | 0x01  # linux/falloc.h
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Source:
    """A range of a file. Several streams can read it at the same time, each at its own position."""

    descriptor: int
    offset: int
    size: int
    boundary: str = ""
    """The boundary of a form."""

    def stream(self) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_Range(self), _BUFFER_BYTES))

    def read_at(self, position: int, size: int) -> bytes:
        """Read this many bytes: fewer at the end, and none outside the range."""
        size = min(size, self.size - position)
        return os.pread(self.descriptor, size, self.offset + position) if position >= 0 and size > 0 else b""

    def free(self, begin: int, size: int) -> None:
        """Free the disk space of these bytes, which then read as zeros, if the file system supports it."""
        if sys.platform == "linux":
            _libc.fallocate(
                self.descriptor,
                _PUNCH_HOLE_KEEP_SIZE,
                ctypes.c_int64(self.offset + begin),
                ctypes.c_int64(size),
            )


class _Range(io.RawIOBase):
    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read_at(self._position, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
