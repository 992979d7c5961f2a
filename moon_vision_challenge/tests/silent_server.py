"""A server on loopback that accepts connections and never answers, like a process that hangs."""

import socket
from contextlib import suppress
from typing import Self


class SilentServer:
    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0)
        self._taken: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def connections(self) -> int:
        """Return the number of connections since the start."""
        with suppress(BlockingIOError):
            while True:
                self._taken.append(self._listener.accept()[0])
        return len(self._taken)

    def close(self) -> None:
        """Break all connections."""
        for each in (*self._taken, self._listener):
            each.close()
