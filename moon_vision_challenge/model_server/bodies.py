"""Receives the bodies of requests within limits of size, time and memory. A slow client does not occupy a thread."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from moon_vision_challenge.model_server.inference_queue import OverloadedError
from moon_vision_challenge.model_server.runtime import InvalidInputError

SMALL_BODY_BYTES = 256_000
"""Up to this size, such as one image of 224 x 224 pixels, a body is received in one step. This saves 0.1 ms of CPU."""

BODY_TIMEOUT_S = 10.0
"""The time that a body may take, plus one second for each _MIN_BYTES_PER_S."""
_MIN_BYTES_PER_S = 1_000_000

_MAX_BODIES = 4  # of the largest size, in memory at a time


class BodyTooLargeError(ValueError):
    """The body is larger than the server accepts."""


class BodyTimeoutError(TimeoutError):
    """The body did not arrive in time."""


class BodySource(Protocol):
    """The receiving half of RSGI's HTTP protocol."""

    async def __call__(self) -> bytes: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class BodyReceiver:
    """Receives all bodies of one event loop, and limits the memory that they occupy together."""

    def __init__(self, max_bytes: int, *, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._free_bytes = _MAX_BODIES * max_bytes

    @asynccontextmanager
    async def receive(self, source: BodySource, content_length: int | None) -> AsyncIterator[bytes]:
        """Give the body as it was sent, which occupies memory until the end of the block.

        `content_length` is None for a chunked body. Raises BodyTooLargeError, BodyTimeoutError or OverloadedError.
        """
        reserved: list[int] = []
        try:
            try:
                async with asyncio.timeout(self._time_for(content_length)):
                    body = await self._read(source, content_length, reserved)
            except TimeoutError as error:
                raise BodyTimeoutError("The request's body did not arrive in time.") from error
            yield body
        finally:
            self._free_bytes += sum(reserved)

    def _time_for(self, content_length: int | None) -> float:
        expected = self._max_bytes if content_length is None else min(content_length, self._max_bytes)
        return self._timeout_s + expected / _MIN_BYTES_PER_S

    async def _read(self, source: BodySource, content_length: int | None, reserved: list[int]) -> bytes:
        if content_length is not None and content_length <= min(SMALL_BODY_BYTES, self._max_bytes):
            return await source()
        pieces: list[bytes] = []
        received = 0
        too_large = content_length is not None and content_length > self._max_bytes
        async for piece in source:
            received += len(piece)
            too_large = too_large or received > self._max_bytes
            if received > 2 * self._max_bytes:
                break
            if too_large:  # read to the end, within reason: most clients look for an answer only after that
                pieces.clear()
            else:
                reserved.append(self._reserve(len(piece)))
                pieces.append(piece)
        if too_large:
            raise BodyTooLargeError(f"The request's body is larger than {self._max_bytes} bytes")
        return b"".join(pieces)

    def _reserve(self, size: int) -> int:
        if size > self._free_bytes:
            raise OverloadedError("Too many large requests are being received. Try again later.")
        self._free_bytes -= size
        return size


def inflate(body: bytes, max_bytes: int) -> bytes:
    """Unpack a gzip body. It stops at the limit, so a small body cannot fill the memory.

    Raises BodyTooLargeError or InvalidInputError.
    """
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with the header of gzip
    try:
        inflated = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidInputError("The request's body is not in gzip format") from error
    if len(inflated) > max_bytes:
        raise BodyTooLargeError(f"The request's body is larger than {max_bytes} bytes")
    if not inflater.eof:
        raise InvalidInputError("The request's body in gzip format is cut short")
    return inflated
