"""Decides which request may run a model now: one run per core at a time, in order of arrival."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


class OverloadedError(RuntimeError):
    """The server cannot accept more work."""


class _Run(NamedTuple):
    function: Callable[[Any], Any]
    part: Any
    future: "asyncio.Future[Any]"

    def perform(self) -> None:
        """Call the function, in an inference thread. The future belongs to the event loop's thread."""
        if self.future.cancelled():
            return
        result, error = None, None
        try:
            result = self.function(self.part)
        except BaseException as caught:  # noqa: BLE001 - raised where the future is awaited
            error = caught
        with suppress(RuntimeError):  # the loop is closed: the server is stopping
            self.future.get_loop().call_soon_threadsafe(_finish, self.future, result, error)


def _finish(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():  # cancelled meanwhile
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class InferenceQueue:
    """A bounded queue in front of the threads that run models. It belongs to one event loop.

    These threads go from one run to the next without a pause, while the event loop reads and writes requests. If each
    request ran the model in a thread that also handled HTTP, a core would be idle for an eighth of the time, between
    the end of one thread and the start of the next.

    The threads and futures are simpler than those of concurrent.futures, which cost 0.1 ms more CPU per request.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._threads = threads
        self._max_requests = threads + max_waiting
        self._requests = 0
        self._runs: SimpleQueue[_Run] = SimpleQueue()
        for number in range(threads):
            threading.Thread(target=self._perform_runs, name=f"inference-{number}", daemon=True).start()

    @property
    def waiting_runs(self) -> int:
        """The number of runs that have not started."""
        return self._runs.qsize()

    async def run(self, function: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
        """Return what the function returns for each part of a request, or raise what it raises for the first failure.

        Several cores share a request of many parts. Only enough parts to keep the threads busy are queued at a time, so
        that the next request waits only for those, not for all. Raises OverloadedError at once if the queue is full.
        """
        if self._requests >= self._max_requests:
            raise OverloadedError("Too many requests are waiting for inference. Try again later.")
        self._requests += 1
        results: list[Result] = []
        queued: deque[asyncio.Future[Result]] = deque()
        try:
            for part in parts:
                if len(queued) > self._threads:
                    results.append(await queued.popleft())
                queued.append(self._submit(function, part))
            while queued:
                results.append(await queued.popleft())
            return results
        finally:
            for future in queued:  # after a failure, the parts that have not started do not run
                if not future.cancel():
                    future.exception()  # only one failure is reported
            self._requests -= 1

    def _submit(self, function: Callable[[Part], Result], part: Part) -> "asyncio.Future[Result]":
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._runs.put(_Run(function, part, future))
        return future

    def _perform_runs(self) -> None:
        while True:
            self._runs.get().perform()
