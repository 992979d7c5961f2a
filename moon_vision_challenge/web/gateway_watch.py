"""Detects clients that appear with the address of the container network's gateway.

Docker's port forwarding does this to IPv6 clients of an IPv4 network, and rootless engines do it to all clients. They
then share one rate limit. Nothing fails, so the log has to report it.
"""

import logging
import socket
from collections.abc import Iterator
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from django.conf import settings

from moon_vision_challenge.web.client_address import Address, partition_of

logger = logging.getLogger(__name__)

ENOUGH_REQUESTS = 1000
"""An operator who tries the service on the machine itself also has this address, but sends fewer requests."""

_MESSAGE = (
    "%d requests came from %s, the gateway of this network. Unless this machine sent them, their clients are hidden, "
    'and share one rate limit: see "Addresses of clients" in docs/deploy.md'
)


class GatewayWatch:
    """Warns once per process about requests from the gateway."""

    def __init__(self, folder: Path = Path("/proc/net")) -> None:
        self._folder = folder
        self._count = 0

    def note(self, client: str) -> None:
        """Count a request from a client, as `client_address` returns it."""
        if client not in self._gateways or not (settings.NUM_PROXIES or settings.TRUSTED_PROXIES):
            return
        self._count += 1
        if self._count == ENOUGH_REQUESTS:
            logger.warning(_MESSAGE, self._count, client)

    @cached_property
    def _gateways(self) -> frozenset[str]:
        try:
            found: list[Address] = [*self._read_ipv4(), *self._read_ipv6()]
        except OSError:  # not Linux
            found = []
        return frozenset(map(partition_of, found))

    def _read_ipv4(self) -> Iterator[IPv4Address]:
        """Yield the gateways of default routes, which are hexadecimal numbers in the byte order of the machine.

        https://man7.org/linux/man-pages/man5/proc_pid_net.5.html
        """
        for line in (self._folder / "route").read_text().splitlines()[1:]:
            _, destination, gateway, *_ = line.split()
            if int(destination, 16) == 0 and int(gateway, 16):
                yield IPv4Address(socket.ntohl(int(gateway, 16)))

    def _read_ipv6(self) -> Iterator[IPv6Address]:
        path = self._folder / "ipv6_route"
        for line in path.read_text().splitlines() if path.exists() else ():
            destination, prefix, _, _, gateway, *_ = line.split()
            if int(destination, 16) == int(prefix, 16) == 0 and int(gateway, 16):
                yield IPv6Address(int(gateway, 16))


watch = GatewayWatch()
