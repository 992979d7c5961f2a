"""Limits the connections to one address, so that clients cannot use the service to attack it."""

import threading
from collections import Counter
from ipaddress import IPv4Address, ip_address, ip_network


class AddressLimit:
    """Allows at most `limit` connections of this process at a time. An IPv6 /64 network counts as one address."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, address: str) -> bool:
        """Return False if the address is at its limit. Otherwise, call `give_back` at the end."""
        key = _key(address)
        with self._lock:
            has_place = self._open[key] < self._limit
            self._open[key] += has_place
        return has_place

    def give_back(self, address: str) -> None:
        with self._lock:
            self._open -= Counter([_key(address)])


def _key(address: str) -> str:
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
