"""Decides which request may run a model now: as many runs at a time as there are cores, in order of arrival."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


class OverloadedError(RuntimeError):
    """The server has as much to do as it accepts."""


class InferenceQueue:
    """A bounded queue in front of the threads that run models. All methods belong to one event loop.

    These threads go from one run to the next without a pause, while the event loop reads and writes requests. When
    each request ran the model in a thread that also spoke HTTP, a core idled for an eighth of the time, between the
    end of one thread and the start of the next.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._threads = threads
        self._max_requests = threads + max_waiting
        self._requests = 0
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="inference")

    async def run(self, function: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
        """Return what the function returns for each part of a request, or raise what it raises for the first failure.

        Several cores share a request of many parts. Only as many of its parts are queued as keep the threads busy, so
        that the next request waits for those and not for all. Raises OverloadedError at once when the queue is full.
        """
        if self._requests >= self._max_requests:
            raise OverloadedError("Too many requests are waiting for inference. Try again later.")
        self._requests += 1
        results: list[Result] = []
        queued: deque[Future[Result]] = deque()
        try:
            for part in parts:
                if len(queued) > self._threads:
                    results.append(await asyncio.wrap_future(queued.popleft()))
                queued.append(self._executor.submit(function, part))
            while queued:
                results.append(await asyncio.wrap_future(queued.popleft()))
            return results
        finally:
            for future in queued:
                future.cancel()  # after a failure, the parts that have not begun
            self._requests -= 1
