"""Checks how fast a body arrives."""

from .limits import Limits


class Pace:
    """Compares what arrives within each `rate_window_s` with `min_body_bytes_per_s`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._window_end = 0.0
        self._start_bytes = 0

    def start(self, now: float, received_bytes: int) -> None:
        """Begin a window."""
        self._window_end = now + self._limits.rate_window_s
        self._start_bytes = received_bytes

    def is_too_slow(self, now: float, received_bytes: int) -> bool:
        """If the window is over, return whether it was too slow, and begin the next one."""
        if now < self._window_end:
            return False
        received = received_bytes - self._start_bytes
        self.start(now, received_bytes)
        return received < self._limits.min_body_bytes_per_s * self._limits.rate_window_s
