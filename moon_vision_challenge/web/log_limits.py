"""Keeps clients from filling the log."""

import logging
import threading
import time

_INTERVAL_S = 60


class ClientFaultFilter(logging.Filter):
    """Limits Django's security log (a foreign Host header, a path outside a folder, ...) to one line a minute per kind.

    The client causes all of these errors, and the answer is 400. A traceback does not help.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}  # the logger's name → when it may write again
        self._held_back: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("django.security."):
            return True
        record.exc_info = record.exc_text = None
        with self._lock:
            if time.monotonic() < self._next.get(record.name, 0):
                self._held_back[record.name] = self._held_back.get(record.name, 0) + 1
                return False
            self._next[record.name] = time.monotonic() + _INTERVAL_S
            if held_back := self._held_back.pop(record.name, 0):
                record.msg = f"{record.getMessage()} ({held_back} more since the last such line)"
                record.args = ()
        return True
