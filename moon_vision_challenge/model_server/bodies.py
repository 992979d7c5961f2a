"""Receives the bodies of requests within limits of size, time and memory. A slow client does not occupy a thread."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from moon_vision_challenge.model_server.inference_queue import OverloadedError
from moon_vision_challenge.model_server.runtime import InvalidInputError

Parsed = TypeVar("Parsed")

SMALL_BODY_BYTES = 256_000
"""A body up to this size, such as one image of 224 x 224 pixels, is received in one step. This saves 0.1 ms of CPU."""

BODY_TIMEOUT_S = 10.0
"""The time that a body may take, plus one second for each _MIN_BYTES_PER_S."""
_MIN_BYTES_PER_S = 1_000_000

_MAX_BODIES = 4  # of the largest size, in memory at once


class BodyTooLargeError(ValueError):
    """The body is larger than the server accepts."""


class BodyTimeoutError(TimeoutError):
    """The body did not arrive in time."""


class BodySource(Protocol):
    """The receiving half of RSGI's HTTP protocol."""

    async def __call__(self) -> bytes: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class BodyMemory:
    """The memory for large bodies that are being received or answered. Belongs to one event loop."""

    def __init__(self, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes
        self.free_bytes = _MAX_BODIES * max_body_bytes


class Body:
    """The body of one request. `read` it once, then `release` the memory that it occupies."""

    def __init__(
        self,
        source: BodySource,
        memory: BodyMemory,
        *,
        content_length: int | None,
        is_gzip: bool = False,
        json_length: str = "",
        timeout_s: float = BODY_TIMEOUT_S,
    ) -> None:
        """`content_length` is None for a chunked body.

        `json_length` is the request's Inference-Header-Content-Length. It is empty if the whole body is JSON.
        """
        self.is_gzip = is_gzip
        self.json_length = json_length
        self._source = source
        self._memory = memory
        self._content_length = content_length
        self._timeout_s = timeout_s
        self._reserved_bytes = 0

    async def read(self) -> bytes:
        """Return the bytes as they were sent. Raises BodyTooLargeError, BodyTimeoutError or OverloadedError."""
        limit, length = self._memory.max_body_bytes, self._content_length
        expected = limit if length is None else min(length, limit)
        try:
            async with asyncio.timeout(self._timeout_s + expected / _MIN_BYTES_PER_S):
                if length is not None and length <= min(SMALL_BODY_BYTES, limit):
                    return await self._source()
                return await self._read_pieces()
        except TimeoutError as error:
            raise BodyTimeoutError("The request's body did not arrive in time.") from error

    async def _read_pieces(self) -> bytes:
        limit = self._memory.max_body_bytes
        pieces: list[bytes] = []
        received = 0
        too_large = self._content_length is not None and self._content_length > limit
        async for piece in self._source:
            received += len(piece)
            too_large = too_large or received > limit
            if received > 2 * limit:
                break
            if too_large:  # read to the end, within limits: most clients read an answer only after that
                pieces.clear()
                self.release()
            else:
                self._reserve(len(piece))
                pieces.append(piece)
        if too_large:
            raise BodyTooLargeError(f"The request's body is larger than {limit} bytes")
        return b"".join(pieces)

    def _reserve(self, size: int) -> None:
        if size > self._memory.free_bytes:
            raise OverloadedError("Too many large requests are being received. Try again later.")
        self._memory.free_bytes -= size
        self._reserved_bytes += size

    def release(self) -> None:
        self._memory.free_bytes += self._reserved_bytes
        self._reserved_bytes = 0


class Parser:
    """Reads and parses bodies.

    Large bodies are parsed outside the event loop, one at a time, because lists of numbers take ten times the memory of
    their text.
    """

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parse")

    async def read(self, body: Body, parse: Callable[[bytes], Parsed]) -> Parsed:
        """Raises what `Body.read`, `inflate` and `parse` raise."""
        content = await body.read()
        if not body.is_gzip and len(content) <= SMALL_BODY_BYTES:
            return parse(content)

        def unpack_and_parse() -> Parsed:
            return parse(inflate(content, self._max_body_bytes) if body.is_gzip else content)

        return await asyncio.get_running_loop().run_in_executor(self._thread, unpack_and_parse)


def inflate(body: bytes, max_bytes: int) -> bytes:
    """Decompress a gzip body. Stops at the limit, so a small body cannot fill the memory.

    Raises BodyTooLargeError or InvalidInputError.
    """
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with a gzip header
    try:
        inflated = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise InvalidInputError("The request's body is not in gzip format") from error
    if len(inflated) > max_bytes:
        raise BodyTooLargeError(f"The request's body is larger than {max_bytes} bytes")
    if not inflater.eof:
        raise InvalidInputError("The request's body in gzip format is cut short")
    return inflated
