"""A DNS server on loopback that gives the answers of a test, over HTTPS (RFC 8484).

libcurl queries it instead of the system's resolver, whose configuration only root can replace.
"""

import ssl
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

import pycurl
import trustme

from moon_vision_challenge.tests.serving import serving

_VERSIONS = {1: 4, 28: 6}  # the IP versions of A and AAAA records
_IN = 1
_HEADER = struct.Struct("!6H")
_POINTER_TO_QUESTION = 0xC000 | _HEADER.size
_Curl = pycurl.Curl


class DNSServer(ThreadingHTTPServer):
    """Resolves every name to `answers[0]` at the first lookup, to `answers[1]` at the next, and so on."""

    def __init__(self, ca: trustme.CA, answers: Sequence[list[str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ca.issue_cert("127.0.0.1").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._answers = answers
        self.lookups: Counter[tuple[str, int]] = Counter()  # by name and IP version: libcurl asks for both

    def resolve(self, name: str, version: int) -> list[bytes]:
        answer = self._answers[min(self.lookups[name, version], len(self._answers) - 1)]
        self.lookups[name, version] += 1
        return [address.packed for address in map(ip_address, answer) if address.version == version]

    def new_handle(self) -> pycurl.Curl:
        """Return a handle that queries this server. Replaces `pycurl.Curl`."""
        curl = _Curl()
        curl.setopt(pycurl.DOH_URL, f"https://127.0.0.1:{self.server_port}/")
        return curl


class _Handler(BaseHTTPRequestHandler):
    server: DNSServer

    def do_POST(self) -> None:
        reply = self._reply(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "application/dns-message")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def _reply(self, query: bytes) -> bytes:
        question = query[_HEADER.size : query.index(b"\0", _HEADER.size) + 5]
        (kind,) = struct.unpack("!H", question[-4:-2])
        records = [
            struct.pack("!HHHIH", _POINTER_TO_QUESTION, kind, _IN, 0, len(address)) + address
            for address in self.server.resolve(_name(question), _VERSIONS[kind])
        ]
        return _HEADER.pack(0, 0x8180, 1, len(records), 0, 0) + question + b"".join(records)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def _name(question: bytes) -> str:
    labels = []
    while length := question[0]:
        labels.append(question[1 : 1 + length].decode())
        question = question[1 + length :]
    return ".".join(labels)


Resolve = Callable[..., DNSServer]
"""The type of the fixture `resolve`."""


@contextmanager
def dns_server(ca: trustme.CA, answers: Sequence[list[str]]) -> Iterator[DNSServer]:
    with serving(DNSServer(ca, answers)) as server:
        yield server
