"""TLS in front of the real PostgreSQL or Redis, whose test builds have none."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
"""What PostgreSQL's clients send first: https://www.postgresql.org/docs/current/protocol-message-formats.html"""


class TLSFront:
    """Listens on localhost. `handshakes` counts the clients that have accepted the certificate."""

    def __init__(self, target: tuple[str, int], tls: ssl.SSLContext, *, is_postgresql: bool) -> None:
        self._target, self._tls, self._is_postgresql = target, tls, is_postgresql
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.handshakes = 0

    def serve(self) -> None:
        with suppress(OSError):  # the listener is shut down
            while True:
                client, _ = self._listener.accept()
                Thread(target=self._handle, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _handle(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            if self._is_postgresql:
                if client.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                    return
                client.sendall(b"S")
            with self._tls.wrap_socket(client, server_side=True) as stream, self._connect() as server:
                self.handshakes += 1
                answers = Thread(target=_copy, args=(server, stream), daemon=True)
                answers.start()
                _copy(stream, server)
                server.shutdown(socket.SHUT_RDWR)
                answers.join()

    def _connect(self) -> socket.socket:
        return socket.create_connection(self._target)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


@contextmanager
def tls_front(target: tuple[str, int], tls: ssl.SSLContext, *, is_postgresql: bool = False) -> Iterator[TLSFront]:
    front = TLSFront(target, tls, is_postgresql=is_postgresql)
    thread = Thread(target=front.serve, daemon=True)
    thread.start()
    yield front
    front.close()
    thread.join()
