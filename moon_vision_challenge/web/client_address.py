"""The address of the client, behind proxies."""

import functools
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from django.conf import settings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_IPV6_PREFIX = 64
"""A site gets a network of at least this size, and its hosts choose the rest of their addresses."""
_MAX_CHARS = 500  # of X-Forwarded-For


def client_address(meta: dict[str, Any]) -> str:
    """Return the client's IPv4 address, or its IPv6 network, from the request's META, or "" if there is no address.

    Each proxy appends the address of its peer to X-Forwarded-For, so only the last entries are known to be true: those
    that DJANGO_NUM_PROXIES or DJANGO_TRUSTED_PROXIES vouch for. Other headers are not read.
    """
    return _client_address(
        meta.get("REMOTE_ADDR", ""),
        _end_of(meta.get("HTTP_X_FORWARDED_FOR", "")) if settings.NUM_PROXIES or settings.TRUSTED_PROXIES else "",
        settings.NUM_PROXIES,
        tuple(settings.TRUSTED_PROXIES),
    )


@functools.lru_cache(maxsize=4096)
def _client_address(peer: str, forwarded: str, num_proxies: int, trusted: Sequence[str]) -> str:
    known = parse_address(peer)
    networks = _networks(trusted)
    for hops, entry in enumerate(_backwards(forwarded)):
        if hops >= num_proxies and not _is_in(known, networks):
            break
        address = parse_address(entry)
        if address is None:  # a proxy that hides its client, or nonsense: the last known address counts
            break
        known = address
    return partition_of(known)


def partition_of(address: Address | None) -> str:
    """Return the unit that shares a limit: an IPv4 address, or an IPv6 network."""
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), _IPV6_PREFIX), strict=False))
    return str(address or "")


def parse_address(text: str) -> Address | None:
    """Parse an address as proxies write it: with or without a port, brackets, or a zone. IPv4 in IPv6 becomes IPv4."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _end_of(forwarded: str) -> str:
    """Return the entries of the nearest proxies. The client chooses how many precede them."""
    return forwarded if len(forwarded) <= _MAX_CHARS else forwarded[-_MAX_CHARS:].partition(",")[2]


def _backwards(forwarded: str) -> Iterator[str]:
    if forwarded:
        yield from reversed(forwarded.split(","))


def _is_in(address: Address | None, networks: Sequence[Network]) -> bool:
    return address is not None and any(address in network for network in networks)


@functools.cache
def _networks(trusted: Sequence[str]) -> Sequence[Network]:
    return [ip_network(text, strict=False) for text in trusted]
