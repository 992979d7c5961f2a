"""Waits for PostgreSQL in a way that keeps the cost of a hanging server low.

A stopped server keeps its sockets open, and its kernel acknowledges what clients send. Then neither TCP's timeouts nor
the server's own end a client's wait. psycopg2 accepts a callback that waits:
https://www.psycopg.org/docs/advanced.html#support-for-coroutine-libraries
"""

import logging
import select
import threading
import time
from typing import Any

import psycopg2
from psycopg2 import extensions

from moon_vision_challenge.postgresql.probe import NoAnswerError, probe

logger = logging.getLogger(__name__)

SUSPICIOUS_S = 1.0
"""If an answer takes longer, another connection is opened to find out whether the server hangs."""
_GLANCE_S = 0.1
_PROBE_TIMEOUT_S = 1.0
_PROBE_EVERY_S = 1.0


class BoundedConnection(extensions.connection):
    """A connection that gives up if an answer takes too long, or if the server is known to hang.

    libpq ignores `connect_timeout` if psycopg2 waits with a callback, so the connection enforces it.
    """

    def __init__(self, dsn: str, *options: Any) -> None:
        self.answer_timeout_s: float | None = float(extensions.parse_dsn(dsn).get("connect_timeout", 0)) or None
        super().__init__(dsn, *options)


class HangDetector:
    """A thread that finds out whether the server answers, and repeats the check until it does."""

    def __init__(self) -> None:
        self._has_hung = False
        self._lock = threading.Lock()
        self._next_probe = 0.0  # time.monotonic()
        self._thread: threading.Thread | None = None

    @property
    def is_hanging(self) -> bool:
        """Whether the server hangs: only while the thread probes, which a lookup of the server's name may prolong."""
        return self._has_hung and self._is_probing

    @property
    def _is_probing(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def suspect(self) -> None:
        """Check the server, because a caller waits, or has waited, suspiciously long."""
        with self._lock:
            if not self._is_probing and time.monotonic() >= self._next_probe:
                self._thread = threading.Thread(target=self._probe_until_it_answers, name="probe-db", daemon=True)
                self._thread.start()

    def refuse_if_hanging(self) -> None:
        if self.is_hanging:
            raise NoAnswerError("PostgreSQL hangs, so the query is not sent")

    def trip(self) -> None:
        """Treat the server as hanging, because an answer has taken too long."""
        self._has_hung = True
        self.suspect()

    def _probe_until_it_answers(self) -> None:
        while self._is_silent():
            if not self._has_hung:
                logger.error("PostgreSQL hangs: requests that need it are refused until it answers")
            self._has_hung = True
            time.sleep(_PROBE_EVERY_S)  # the pause between two probes
        if self._has_hung:
            logger.warning("PostgreSQL answers again")
        self._has_hung = False
        self._next_probe = time.monotonic() + _PROBE_EVERY_S

    @staticmethod
    def _is_silent() -> bool:
        begin = time.monotonic()
        try:
            probe(_PROBE_TIMEOUT_S)
        except NoAnswerError:
            return True
        except psycopg2.Error:  # it refuses connections, or does not run: callers get an error as fast as this probe
            return time.monotonic() - begin > _PROBE_TIMEOUT_S  # late if no name server answers
        return False


detector = HangDetector()


def wait(asked: extensions.connection) -> None:
    """Return when the server has answered. This is psycopg2's wait callback: if it raises, the connection closes."""
    timeout_s = getattr(asked, "answer_timeout_s", None)
    begin = time.monotonic()
    pause_s = SUSPICIOUS_S
    while (state := asked.poll()) != extensions.POLL_OK:
        sockets = select.poll()
        sockets.register(asked.fileno(), select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
        sockets.poll(pause_s * 1000)
        lasted_s = time.monotonic() - begin  # a part of the answer does not stop the clock
        if timeout_s is None or lasted_s < SUSPICIOUS_S:
            continue
        if lasted_s >= timeout_s:
            raise NoAnswerError(f"no answer within {timeout_s:g} s")
        detector.refuse_if_hanging()
        detector.suspect()
        pause_s = _GLANCE_S
