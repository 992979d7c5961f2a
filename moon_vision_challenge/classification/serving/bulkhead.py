"""Keeps a model server that stops answering from occupying all threads of a web process."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
)
from moon_vision_challenge.waiting_threads import waiting

MAX_WAITING = 8
STALLED_S = 1.0


class Bulkhead:
    """Lets calls through, unless MAX_WAITING of them are waiting and none has been answered for STALLED_S.

    A server that is only slow answers some of them, so no call is refused.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answered_at = clock()
        self._pending: list[None] = []  # one entry per call: unlike a counter, a list needs no lock

    @contextmanager
    def call(self) -> Iterator[None]:
        """Raise ModelServerUnavailableError at once if the call would only join others that get no answer."""
        if len(self._pending) >= MAX_WAITING and self._clock() - self._answered_at > STALLED_S:
            raise ModelServerUnavailableError(f"{len(self._pending)} requests wait for the model server")
        self._pending.append(None)
        try:
            with waiting():
                yield
        except (ModelServerTimeoutError, ModelServerUnavailableError):
            raise
        except ClassificationError:
            self._answered_at = self._clock()
            raise
        else:
            self._answered_at = self._clock()
        finally:
            self._pending.pop()


@functools.lru_cache(maxsize=256)
def bulkhead_of(model_url: str) -> Bulkhead:
    """Return the bulkhead of a server, which all its models share."""
    return _of_server("/".join(model_url.split("/", 3)[:3]))


@functools.cache
def _of_server(_base: str) -> Bulkhead:
    return Bulkhead()
