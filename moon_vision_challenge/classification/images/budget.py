"""Limits the memory and the processor cores that the images of a process use at a time."""

import os
import threading
from typing import Self

from django.conf import settings

from moon_vision_challenge.classification.exceptions import DecoderBusyError
from moon_vision_challenge.waiting_threads import waiting


class MemoryBudget:
    """The bytes that images occupy while they are decoded and used. A caller waits until enough of them are free."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._freed = threading.Condition()
        self._taken = 0

    @property
    def taken(self) -> int:
        return self._taken

    def reserve(self, size: int) -> "Reservation":
        """Return a context manager that holds `size` bytes. An image larger than the whole budget is admitted alone.

        Raises:
            DecoderBusyError: not enough bytes became free within INFERENCE_DECODE_WAIT_S.
        """
        return Reservation(self, size)

    def take(self, size: int) -> None:
        with self._freed:
            if not self._fits(size) and not self._wait_for(size):
                raise DecoderBusyError(f"{self._taken:,} bytes are held for images, {size:,} are requested")
            self._taken += size

    def _wait_for(self, size: int) -> bool:
        with waiting():
            return self._freed.wait_for(lambda: self._fits(size), settings.INFERENCE_DECODE_WAIT_S)

    def _fits(self, size: int) -> bool:
        return not self._taken or self._taken + size <= settings.INFERENCE_DECODE_MEMORY_BYTES

    def give_back(self, size: int) -> None:
        with self._freed:
            self._taken -= size
            self._freed.notify_all()


class Reservation:
    """The bytes that an image holds: fewer once the decoder is done, zero at the end."""

    def __init__(self, budget: MemoryBudget, size: int) -> None:
        self._budget = budget
        self._size = size

    def __enter__(self) -> Self:
        self._budget.take(self._size)
        return self

    def __exit__(self, *_: object) -> None:
        self.shrink(0)

    def shrink(self, size: int) -> None:
        if size < self._size:
            self._budget.give_back(self._size - size)
            self._size = size


class Turns:
    """Lets INFERENCE_DECODE_THREADS threads decode at a time. The others wait.

    An image that has a core to itself finishes soon. If all threads decode at once, each takes as long as all of
    them together, and the model waits for the first image.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._free: threading.Semaphore | None = None
        self._lock = threading.Lock()

    def take(self) -> threading.Semaphore:
        """Return a context manager that holds a turn."""
        with self._lock:
            if self._free is None:  # a decoder process also imports this module, and has no settings
                self._free = threading.Semaphore(
                    settings.INFERENCE_DECODE_THREADS or max(1, (os.cpu_count() or 1) // 2)
                )
            return self._free


memory = MemoryBudget()
"""The budget of this process."""
turns = Turns()
"""The turns of this process."""

# A forked process has none of its parent's threads, so nothing in it would release what they hold.
os.register_at_fork(after_in_child=memory.reset)
os.register_at_fork(after_in_child=turns.reset)
