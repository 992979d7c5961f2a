"""Determines where the web server listens, how this machine reaches it, and which host names it accepts."""

import socket
from collections.abc import Mapping

import psutil

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
# A server that listens on all addresses also listens on the loopback address.
LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a user may choose


def web_url(env: Mapping[str, str]) -> str:
    """Return the address of the web server as seen from this machine."""
    host = LOOPBACK_OF.get(env["WEB_HOST"], env["WEB_HOST"])
    return f"http://{_in_url(host)}:{env['WEB_PORT']}"


def allowed_hosts(web_host: str, given: str) -> str:
    """Return the value of DJANGO_ALLOWED_HOSTS: the user's names and those that the runner needs.

    If the user gives none and the server listens on all addresses, this includes the machine's name and addresses.
    """
    names = [name.strip() for name in given.split(",") if name.strip()]
    if web_host not in LOOPBACK_OF:
        names.append(_in_url(web_host))
    elif not names:
        names += [socket.gethostname().lower(), *map(_in_url, _own_addresses())]
    return ",".join(dict.fromkeys([*LOCAL_NAMES, *names]))


def family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _own_addresses() -> list[str]:
    return [
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in {socket.AF_INET, socket.AF_INET6}
    ]


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
