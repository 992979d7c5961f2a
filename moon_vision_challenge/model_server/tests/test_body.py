"""The body of a request is bounded in time and memory."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from moon_vision_challenge.model_server.application import status_of
from moon_vision_challenge.model_server.bodies import (
    Body,
    BodyMemory,
    BodyTimeoutError,
    BodyTooLargeError,
    inflate,
)
from moon_vision_challenge.model_server.inference_queue import OverloadedError
from moon_vision_challenge.model_server.runtime import InvalidInputError


class Pieces:
    """A body that arrives in these pieces, with a pause after each."""

    def __init__(self, *pieces: bytes, pause_s: float = 0) -> None:
        self._pieces = pieces
        self._pause_s = pause_s

    async def __call__(self) -> bytes:
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
            await asyncio.sleep(self._pause_s)


def read(source: Pieces, memory: BodyMemory, length: int | None) -> bytes:
    return asyncio.run(Body(source, memory, content_length=length, timeout_s=0.1).read())


@pytest.mark.parametrize("length", [None, 4, 500_000])
def test_a_body_is_bounded_in_time(length: int | None) -> None:
    with pytest.raises(BodyTimeoutError):
        read(Pieces(b"body", pause_s=600), BodyMemory(500_000), length)


def test_large_bodies_are_bounded_in_memory_together_and_give_it_back() -> None:
    memory = BodyMemory(500_000)

    async def five_at_a_time() -> None:
        bodies = [Body(Pieces(b"x" * 500_000), memory, content_length=None) for _ in range(5)]
        for body in bodies[:4]:
            assert len(await body.read()) == 500_000
        with pytest.raises(OverloadedError):
            await bodies[4].read()
        assert read_small == b"small"
        for body in bodies:
            body.release()

    read_small = read(Pieces(b"small"), memory, 5)
    asyncio.run(five_at_a_time())
    assert memory.free_bytes == 4 * 500_000


def test_a_body_that_never_ends_is_read_up_to_twice_the_limit() -> None:
    taken: list[int] = []

    class Endless(Pieces):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                taken.append(1)
                yield b"x" * 100

    memory = BodyMemory(1_000)
    for length in (None, 10_000_000):
        taken.clear()
        body = Body(Endless(), memory, content_length=length)
        with pytest.raises(BodyTooLargeError):
            asyncio.run(body.read())
        assert len(taken) == 21
        assert memory.free_bytes == 4_000


def test_a_gzip_body_is_unpacked_up_to_the_limit() -> None:
    with pytest.raises(InvalidInputError):
        inflate(b"no gzip", 10)


def test_a_subclass_of_an_error_has_its_status() -> None:
    class WrongColourError(InvalidInputError):
        pass

    assert status_of(WrongColourError()) == HTTPStatus.BAD_REQUEST
    assert status_of(KeyError()) == HTTPStatus.INTERNAL_SERVER_ERROR
