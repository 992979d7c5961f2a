"""How much memory the images of a process may take at once."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from moon_vision_challenge.classification.exceptions import DecoderBusyError


class MemoryBudget:
    """Bytes that images take while they are decoded and used. Whoever finds too few of them free waits."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._freed = threading.Condition()
        self._taken = 0

    @property
    def taken(self) -> int:
        return self._taken

    @contextmanager
    def reserve(self, size: int) -> Iterator["Reservation"]:
        """Hold `size` bytes. An image that alone takes more than there are is let in alone.

        Raises:
            DecoderBusyError: not so many became free within INFERENCE_DECODE_WAIT_S.
        """
        self._take(size)
        reservation = Reservation(self, size)
        try:
            yield reservation
        finally:
            reservation.shrink(0)

    def _take(self, size: int) -> None:
        with self._freed:
            end = time.monotonic() + settings.INFERENCE_DECODE_WAIT_S
            while self._taken and self._taken + size > settings.INFERENCE_DECODE_MEMORY_BYTES:
                if not self._freed.wait(max(0, end - time.monotonic())) and time.monotonic() >= end:
                    raise DecoderBusyError(f"{self._taken:,} bytes of images are held, {size:,} are wanted")
            self._taken += size

    def give_back(self, size: int) -> None:
        with self._freed:
            self._taken -= size
            self._freed.notify_all()


class Reservation:
    """Bytes that are held; fewer when the decoder is done, none in the end."""

    def __init__(self, budget: MemoryBudget, size: int) -> None:
        self._budget = budget
        self._size = size

    def shrink(self, size: int) -> None:
        if size < self._size:
            self._budget.give_back(self._size - size)
            self._size = size


memory = MemoryBudget()
"""Of this process."""

# A forked process has none of its parent's threads: nobody in it would give back what they hold.
os.register_at_fork(after_in_child=memory.reset)
