"""Decides which processes of a worker may do bulk work (unpack jobs, classify their rows) while single rows arrive.

A single row waits until a process has finished its batch. So while single rows arrive, one process of a worker does no
bulk work. A worker with one process claims small batches instead.
"""

import fcntl
import math
import mmap
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SINGLES_EXPECTED_S = 2.0
_SMALL_BATCH = 2
_TIMES = struct.Struct("dd")


class BulkShare:
    """State that the processes of a worker share. Create it before they are forked.

    Each process that does bulk work holds a place: a lock on a byte of a file. The kernel frees the place if the
    process is killed.

    Args:
        processes: the number of processes that share the state.
        clock: the same in all processes, in seconds.
    """

    def __init__(self, processes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._places = range(processes - 1)
        self._clock = clock
        self._file, name = tempfile.mkstemp()
        Path(name).unlink()
        self._times = mmap.mmap(-1, _TIMES.size)
        self._times[:] = _TIMES.pack(-math.inf, -math.inf)
        self._place: int | None = None

    def note_single(self) -> None:
        """Record that a single row is claimed. If it follows another one within a short time, more are expected."""
        claimed_at, expected_at = _TIMES.unpack(self._times[:])
        now = self._clock()
        self._times[:] = _TIMES.pack(now, now if now - claimed_at < SINGLES_EXPECTED_S else expected_at)

    def enter(self) -> bool:
        """Take a place if one is free. Return whether this process has one."""
        if self._place is None:
            self._place = next((place for place in self._places if self._lock(place)), None)
        return self._place is not None

    def rows_to_claim(self, limit: int) -> int:
        """Return how many rows of jobs this process may claim now, up to `limit`. Take a place if one is free."""
        has_place = self.enter()
        _, expected_at = _TIMES.unpack(self._times[:])
        if self._clock() - expected_at >= SINGLES_EXPECTED_S:
            return limit
        if not self._places:
            return min(limit, _SMALL_BATCH)
        return limit if has_place else 0

    def leave(self) -> bool:
        """Free the place. Return whether this process had one."""
        if self._place is None:
            return False
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, self._place)
        self._place = None
        return True

    def _lock(self, place: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError:
            return False
        return True


_shares: list[BulkShare] = []


def share_among(processes: int) -> None:
    """Make all processes that are forked later share one BulkShare."""
    _shares[:] = [BulkShare(processes)]


def current() -> BulkShare:
    """Return the share of this process's worker. Without share_among, the process shares it with no other."""
    if not _shares:
        share_among(1)
    return _shares[0]


@contextmanager
def bulk_work() -> Iterator[None]:
    """Hold a place, if one is free, during work that is not claimed in batches."""
    share = current()
    share.enter()
    try:
        yield
    finally:
        share.leave()
