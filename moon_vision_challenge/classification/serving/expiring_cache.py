"""Caches what model servers report about themselves."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ExpiringCache(Generic[Value]):
    """Caches what `load` returns, by URL, for `ttl_s` seconds. Errors are not cached.

    Threads may share it: at worst, two of them load the same value at the same time.
    """

    def __init__(self, load: Callable[[str], Value], ttl_s: float) -> None:
        self._load = load
        self._ttl_s = ttl_s
        self._entries: dict[str, tuple[float, Value]] = {}

    def __getitem__(self, url: str) -> Value:
        entry = self._entries.get(url)
        if entry is None or entry[0] < time.monotonic():
            value = self._load(url)  # loading may take a while, so the time to live starts after it
            entry = self._entries[url] = (time.monotonic() + self._ttl_s, value)
        return entry[1]

    def forget(self, url: str) -> None:
        self._entries.pop(url, None)

    def clear(self) -> None:
        self._entries.clear()
