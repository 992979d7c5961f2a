"""Looks up the server's name, because libpq would do it while psycopg2 holds the GIL.

While no name server answers, that would stop the whole process repeatedly. `socket` releases the lock.
"""

import socket
from collections.abc import Mapping
from typing import Any

import psycopg2


def with_addresses(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a connection, with all addresses of its host. The host stays: TLS checks its name.

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
