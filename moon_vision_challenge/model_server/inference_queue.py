"""Who may run a model now: as many runs as there are cores, in the order they came."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


class QueueFullError(RuntimeError):
    """Too many requests wait already."""


class InferenceQueue:
    """A bounded queue in front of the threads that run models.

    They go from one run to the next without a pause, while others read and write requests. When each request's own
    thread ran the model, a core idled between one thread's end and the next one's waking: an eighth of the time.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._threads = threads
        self._places = threading.Semaphore(threads + max_waiting)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="inference")

    def run(self, function: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
        """What the function returns for each part of a request, or raises for the first that fails.

        Several cores share a request of many parts. It has only as many of them in the queue as keep the threads busy:
        who comes after it waits for those, not for all. Raises QueueFullError at once when the request would not fit.
        """
        if not self._places.acquire(blocking=False):
            raise QueueFullError("The queue of requests waiting for inference is full")
        results: list[Result] = []
        queued: deque[Future[Result]] = deque()
        try:
            for part in parts:
                if len(queued) > self._threads:
                    results.append(queued.popleft().result())
                queued.append(self._executor.submit(function, part))
            return results + [future.result() for future in queued]
        finally:
            for future in queued:
                future.cancel()  # after a failure, what has not begun
            self._places.release()
