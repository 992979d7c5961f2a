"""A proxy in front of a real S3 server that makes uploads fail halfway."""

import http.client
import socket
import struct
from contextlib import suppress
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, get_ident

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: hang up with RST
_NOT_FORWARDED = {"connection", "expect", "transfer-encoding"}


class Fault(Enum):
    REFUSED = "answered 500"
    RESET = "reset in the middle of the body"
    UNANSWERED = "not answered"
    STORED_AND_REFUSED = "stored, and answered 500"
    STORED_AND_UNANSWERED = "stored, and not answered"


class FaultyS3(ThreadingHTTPServer):
    """Makes requests that store something fail as `fault` says, after `sound` more that succeed."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = port
        self.fault: Fault | None = None
        self.sound = 0
        self.failed = 0
        self.asking: set[int] = set()
        """Threads that S3 has not answered yet, also if their clients have hung up."""
        self.stopping = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next_fault(self) -> Fault | None:
        if self.fault and self.sound:
            self.sound -= 1
            return None
        self.failed += self.fault is not None
        return self.fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyS3

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):  # the client has hung up
            super().handle_one_request()

    def do_GET(self) -> None:
        self._forward(self._body())

    do_HEAD = do_DELETE = do_GET  # noqa: N815  # as http.server names them

    def do_PUT(self) -> None:
        fault = self.server.next_fault()
        if fault is Fault.RESET:
            self._reset()
            return
        body = self._body()
        if fault is None:
            self._forward(body)
            return
        if fault in {Fault.STORED_AND_REFUSED, Fault.STORED_AND_UNANSWERED}:
            self._ask(body)
        if fault in {Fault.UNANSWERED, Fault.STORED_AND_UNANSWERED}:
            self.server.stopping.wait()
            self._reset()
            return
        self.send_response(500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT  # noqa: N815  # a multipart upload

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _reset(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0) // 2)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close_connection = True

    def _forward(self, body: bytes) -> None:
        status, headers, content = self._ask(body)
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _NOT_FORWARDED | {"content-length"}:
                self.send_header(name, value)
        length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else f"{len(content)}"
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        self.server.asking.add(get_ident())
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=120)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _NOT_FORWARDED:
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()
            self.server.asking.discard(get_ident())

    def log_message(self, *_: object) -> None:
        pass
