#!/usr/bin/env python3
"""Holds requests open with most of their body sent, and posts valid photos beside them. Needs Python alone.

slow_clients.py BASE_URL                   90 slow clients, fewer than one address may have
slow_clients.py BASE_URL --addresses 4     the clients have 127.0.1.1 to 127.0.1.4: BASE_URL must be on loopback
slow_clients.py BASE_URL --stub 8000       answers in place of the web server, on that port of 127.0.0.1

Exits 1 unless as many clients as expected are held, and all valid photos get their label.
"""

import argparse
import json
import socket
import ssl
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import smoke

SENT = 0.9
TIMEOUT_S = 30


class Stub(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        answer = json.dumps({"label": smoke.LABEL}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


def begin(url: str, body_bytes: int, address: str | None) -> ssl.SSLSocket:
    """Send the headers and most of the body of a request."""
    parts = urlsplit(url)
    plain = socket.create_connection(
        (parts.hostname, parts.port or 443), TIMEOUT_S, source_address=(address, 0) if address else None
    )
    connection = smoke._unverified.wrap_socket(plain, server_hostname=parts.hostname)
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.hostname}", f"Content-Length: {body_bytes}"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in smoke.AUTHORIZATION.items()), "", ""])
    with suppress(OSError):  # refused and closed while sending; the answer can still be read
        connection.sendall(head.encode() + bytes(int(body_bytes * SENT)))
    return connection


def status(connection: ssl.SSLSocket) -> str:
    """Return the status of the answer that has arrived, or "held" while the service waits for the rest."""
    connection.settimeout(0)
    try:
        return connection.recv(4096).split(b" ", 2)[1].decode()
    except ssl.SSLWantReadError:
        return "held"
    except (OSError, IndexError):
        return "closed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base_url")
    parser.add_argument("--clients", type=int, default=90)
    parser.add_argument("--held", type=int, help="how many of them must be held; default: all")
    parser.add_argument("--addresses", type=int, default=0)
    parser.add_argument("--body", type=int, default=1_000_000, help="bytes")
    parser.add_argument("--seconds", type=float, default=20, help="how long valid photos are posted")
    parser.add_argument("--stub", type=int, metavar="PORT")
    arguments = parser.parse_args()
    if arguments.stub:
        threading.Thread(
            target=ThreadingHTTPServer(("127.0.0.1", arguments.stub), Stub).serve_forever, daemon=True
        ).start()
    url = f"{arguments.base_url.rstrip('/')}/api/v0/inferences/"
    addresses: list[str | None] = [f"127.0.1.{number + 1}" for number in range(arguments.addresses)] or [None]
    began = time.monotonic()
    clients = [begin(url, arguments.body, addresses[number % len(addresses)]) for number in range(arguments.clients)]
    print(f"{len(clients)} slow clients after {time.monotonic() - began:.1f} s")
    count = smoke.load(url, arguments.seconds)
    found = [status(client) for client in clients]
    print(
        f"{count} valid photos answered in {arguments.seconds:g} s; slow clients:",
        {s: found.count(s) for s in set(found)},
    )
    held = arguments.clients if arguments.held is None else arguments.held
    smoke.expect("slow clients are held", found.count("held"), held)


if __name__ == "__main__":
    main()
