"""A server on loopback that answers each connection with raw bytes, and remembers what it received."""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Self


def ok(content: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)


OK = ok(b"ok")


class Peer:
    """Listens on all `addresses` at one port.

    It sends `response`, then `endless` again and again. With `holds`, it then waits until the client hangs up.
    """

    def __init__(
        self,
        response: bytes = OK,
        *,
        endless: bytes = b"",
        holds: bool = False,
        addresses: tuple[str, ...] = ("127.0.0.1",),
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.requests: list[bytes] = []
        self.connections: list[str] = []  # the address that each arrived at
        self.hung_up = Event()
        self._response, self._endless, self._holds, self._tls = response, endless, holds, tls
        self._listeners: list[socket.socket] = []
        self._threads: list[Thread] = []
        self.port = port
        for address in addresses:
            listener = socket.create_server((address, self.port), family=_family(address))
            self.port = listener.getsockname()[1]
            self._listeners.append(listener)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        for listener in self._listeners:
            self._start(self._accept, listener)
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)  # accept() raises
            listener.close()
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[[socket.socket], None], argument: socket.socket) -> None:
        thread = Thread(target=target, args=(argument,))
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # the listener is shut down
            address = listener.getsockname()[0]
            while True:
                connection, _ = listener.accept()
                self.connections.append(address)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), self._stream(connection) as stream:
            self.requests.append(_read_request(stream))
            stream.sendall(self._response)
            while self._endless:
                stream.sendall(self._endless)
            if self._holds:
                stream.recv(1)
        self.hung_up.set()

    def _stream(self, connection: socket.socket) -> socket.socket:
        if self._tls is None:
            return connection
        # The first read does the handshake, so that a failed handshake is handled like any lost client.
        return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)


StartPeer = Callable[..., Peer]


def _read_request(stream: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _receive(stream)
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line.split(b":")[1]) for line in head.splitlines() if line.startswith(b"Content-Length")), 0)
    while len(body) < length:
        body += _receive(stream)
    return head + b"\r\n\r\n" + body


def _receive(stream: socket.socket) -> bytes:
    if not (received := stream.recv(65536)):
        raise ConnectionError("the client hung up")
    return received


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
