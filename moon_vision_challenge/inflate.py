"""Decompresses gzip and deflate. Unlike the standard library's readers, it limits the number of members."""

import zlib
from typing import BinaryIO

GZIP = zlib.MAX_WBITS | 16
DEFLATE = zlib.MAX_WBITS
"""With zlib's header, as in the body of an HTTP message (RFC 9110, 8.4.1.2)."""

_CHUNK_BYTES = 16 * 1024
"""The size of the input that zlib gets at once. After each member and each read, it copies the rest."""


class TooManyMembersError(Exception):
    """The stream has more members than `max_members`. A gibibyte has room for 50 million empty ones."""


class Inflate:
    """Decompresses a stream. It may hold several members, with zeros between them.

    Args:
        wbits: GZIP or DEFLATE.
    """

    def __init__(self, stream: BinaryIO, *, wbits: int = GZIP, max_members: int) -> None:
        self._stream = stream
        self._wbits = wbits
        self._left = max_members
        self._input = b""
        self._inflater = zlib.decompressobj(wbits)

    def read(self, size: int) -> bytes:
        """Return `size` bytes, or fewer only at the end. Raises zlib.error, EOFError, TooManyMembersError."""
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
        """Begin the next member. Returns False at the end of the stream."""
        while not (rest := self._input.lstrip(b"\0")):
            self._input = self._stream.read(_CHUNK_BYTES)
            if not self._input:
                return False
        self._left -= 1
        if self._left <= 0:
            raise TooManyMembersError
        self._input, self._inflater = rest, zlib.decompressobj(self._wbits)
        return True
