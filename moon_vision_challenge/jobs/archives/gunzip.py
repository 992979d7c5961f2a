"""Decompresses gzip, within a limit that the standard library's reader does not have: the number of members."""

import zlib
from typing import BinaryIO

from moon_vision_challenge.jobs.errors import JobTooLargeError

_WINDOW_BITS = zlib.MAX_WBITS | 16
_CHUNK_BYTES = 16 * 1024
"""What zlib gets at once. After each member and each read, it copies the rest."""


class Gunzip:
    """Members may follow one another, with zeros between them. A gibibyte has room for 50 million empty ones."""

    def __init__(self, stream: BinaryIO, *, max_members: int) -> None:
        self._stream = stream
        self._left = max_members
        self._input = b""
        self._inflater = zlib.decompressobj(_WINDOW_BITS)

    def read(self, size: int) -> bytes:
        """Fewer bytes only at the end. Raises zlib.error, EOFError, JobTooLargeError."""
        parts = []
        while size and (not self._inflater.eof or self._begin_member()):
            parts.append(self._inflater.decompress(self._input, size))
            is_end = self._inflater.eof
            self._input = self._inflater.unused_data if is_end else self._inflater.unconsumed_tail
            if not (parts[-1] or is_end):
                self._input = self._stream.read(_CHUNK_BYTES)
                if not self._input:
                    raise EOFError
            size -= len(parts[-1])
        return b"".join(parts)

    def _begin_member(self) -> bool:
        """False at the end of the file."""
        while not (rest := self._input.lstrip(b"\0")):
            self._input = self._stream.read(_CHUNK_BYTES)
            if not self._input:
                return False
        self._left -= 1
        if self._left <= 0:
            raise JobTooLargeError
        self._input, self._inflater = rest, zlib.decompressobj(_WINDOW_BITS)
        return True
