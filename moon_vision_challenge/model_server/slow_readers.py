"""Closes connections whose client does not read answers. Granian has no time limit for that, but the kernel does."""

import os
import socket
from contextlib import suppress
from pathlib import Path

WRITE_TIMEOUT_S = 30
"""The time that a client has to read something when its receive buffer is full."""


def limit_write_time(port: int, timeout_s: float) -> bool:
    """Set the limit for all connections to this port. Returns whether this process listens on it.

    A connection inherits the option of the socket that accepts it: https://man7.org/linux/man-pages/man7/tcp.7.html
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):  # not Linux
        return False
    open_files = Path("/proc/self/fd").iterdir()
    found = [listener for file in open_files if (listener := _listener(int(file.name), port))]
    for listener in found:
        with listener:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(timeout_s * 1000))
    return bool(found)


def _listener(descriptor: int, port: int) -> socket.socket | None:
    """Return a copy of the socket with this descriptor if it listens on this port."""
    with suppress(OSError):  # it is another kind of file, or has been closed
        candidate = socket.socket(fileno=os.dup(descriptor))
        is_listening = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if is_listening and candidate.family != socket.AF_UNIX and candidate.getsockname()[1] == port:
            return candidate
        candidate.close()
    return None
