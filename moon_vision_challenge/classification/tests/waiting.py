import time
from collections.abc import Callable

LIMIT_S = 600
"""The time limit for what must happen. It allows for a loaded machine: only a test that fails reaches it."""


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = LIMIT_S) -> None:
    """Poll until the condition holds. Fails the test if it does not hold in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"waited {timeout_s:.0f} s for: {what}"
        time.sleep(0.02)
