"""Who may run a model now: as many requests as there are cores, in the order they came."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class QueueFullError(RuntimeError):
    """Too many requests wait already."""


class InferenceQueue:
    """A bounded queue in front of the threads that run models.

    They go from one run to the next without a pause, while others read and write requests. When each request's own
    thread ran the model, a core idled between one thread's end and the next one's waking: an eighth of the time.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._places = threading.Semaphore(threads + max_waiting)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="inference")

    def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """What the function returns, or raises, in its turn. Raises QueueFullError at once when it would not fit."""
        if not self._places.acquire(blocking=False):
            raise QueueFullError("The queue of requests waiting for inference is full")
        try:
            return self._executor.submit(function, *args, **kwargs).result()
        finally:
            self._places.release()
