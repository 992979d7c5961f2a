"""A TCP proxy that can make a neighbour hang, slow down, or answer wrongly while it runs. It uses only threads."""

import contextlib
import socket
import threading
import time
from enum import Enum
from typing import Self


class Manner(Enum):
    """How the neighbour behaves toward clients of the proxy."""

    SOUND = "sound"
    HANGS = "hangs"
    """Connections are accepted and stay open, but nothing comes through, as with a stopped process."""
    SLOW = "slow"
    """All data is delayed by `delay_s`."""
    DRIPS = "drips"
    """It answers byte by byte, one every `drip_s`."""
    WRONG = "wrong"
    """It answers with bytes that are not part of the protocol."""


_GARBAGE = b"\x00\xffgarbage, not a protocol\r\n\r\n" * 4


class Proxy:
    """Listens on `port` of 127.0.0.1 until it is closed."""

    def __init__(self, host: str, port: int, delay_s: float = 0.1, drip_s: float = 0.5) -> None:
        self._target = (host, port)
        self._delay_s = delay_s
        self._drip_s = drip_s
        self._flows = threading.Event()
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.set(Manner.SOUND)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self._flows.set()
        self.cut()

    def set(self, manner: Manner) -> None:
        """Change the behaviour, also of open connections."""
        self._manner = manner
        if manner is Manner.HANGS:
            self._flows.clear()
        else:
            self._flows.set()

    def lead_to(self, port: int) -> None:
        """Send new connections to this port."""
        self._target = (self._target[0], port)

    def cut(self) -> None:
        """Break all open connections."""
        for each in list(self._open):
            _shut(each)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._flows.wait()
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        self._open |= {client, server}
        threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
        self._pump(server, client, is_answer=True)

    def _pump(self, source: socket.socket, sink: socket.socket, *, is_answer: bool = False) -> None:
        try:
            while data := source.recv(65536):
                self._flows.wait()
                if self._manner is Manner.SLOW:
                    time.sleep(self._delay_s)
                if is_answer and self._manner is Manner.DRIPS:
                    self._drip(data, sink)
                else:
                    sink.sendall(_GARBAGE if is_answer and self._manner is Manner.WRONG else data)
        except OSError:
            pass  # one side has hung up, so the connection to the other one is closed too
        for each in (source, sink):
            _shut(each)
            self._open.discard(each)

    def _drip(self, data: bytes, sink: socket.socket) -> None:
        for number in range(len(data)):
            if self._manner is not Manner.DRIPS:
                sink.sendall(data[number:])
                return
            sink.sendall(data[number : number + 1])
            time.sleep(self._drip_s)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # already shut
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
