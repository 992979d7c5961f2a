"""Tracks which threads of this process wait for something outside it. The web server starts spare threads for them."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_since: dict[int, float] = {}  # thread → time.monotonic()


@contextmanager
def waiting() -> Iterator[None]:
    """Wrap code that may wait. Nested blocks count once."""
    thread = threading.get_ident()
    if thread in _since:
        yield
        return
    _since[thread] = time.monotonic()
    try:
        yield
    finally:
        del _since[thread]


def count(longer_than_s: float) -> int:
    """Return the number of threads that have waited longer than this."""
    begin = time.monotonic() - longer_than_s
    return sum(since < begin for since in list(_since.values()))
