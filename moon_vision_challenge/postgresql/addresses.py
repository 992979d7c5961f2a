"""Looks the server's name up, because libpq would do it while psycopg2 holds Python's lock.

While no name server answers, that would stop the whole process, again and again. `socket` releases the lock.
"""

import socket
from collections.abc import Mapping
from typing import Any

import psycopg2


def with_addresses(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a connection, with all addresses of its host. The host stays: TLS compares its name.

    Raises psycopg2.OperationalError if the name has no address.
    """
    host = parameters.get("host")
    if not host or host.startswith(("/", "@")) or "," in host or "hostaddr" in parameters:
        return dict(parameters)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise psycopg2.OperationalError(f"could not translate the host name {host!r} to an address: {error}") from error
    addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    return {**parameters, "host": ",".join([host] * len(addresses)), "hostaddr": ",".join(addresses)}
