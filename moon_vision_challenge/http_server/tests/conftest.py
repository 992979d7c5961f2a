import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import pytest

APPLICATION = "moon_vision_challenge.http_server.tests.application"
TIMEOUT_S = 600


class Server:
    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.port, self.process = port, process

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        with ExitStack() as stack:
            client = stack.enter_context(socket.socket())
            if receive_buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            client.settimeout(TIMEOUT_S)
            client.connect(("127.0.0.1", self.port))
            stack.pop_all()
        return client

    def send(self, data: bytes) -> bytes:
        """Send the data, and return all that comes back until the server closes the connection."""
        with self.connect() as client:
            client.sendall(data)
            return read_all(client)

    def get(self, path: str = "/", *headers: str) -> bytes:
        return self.send(request("GET", path, "Connection: close", *headers))

    @property
    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIMEOUT_S)


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    """Return a whole request. It states the length of a body if there is one."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def read_all(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(1 << 16):
        received += data
    return received


def read_answer(client: socket.socket) -> bytes:
    """Read one answer that states its length, and no byte of the next."""
    head = body = b""
    while not head.endswith(b"\r\n\r\n"):
        head += (byte := client.recv(1))
        assert byte, f"the connection was closed after {head!r}"
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += client.recv(length - len(body))
    return head + body


def told(answer: bytes) -> dict[str, Any]:
    """Return the JSON body of an answer."""
    body: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return body


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def wait_for(condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@contextmanager
def running(
    *,
    processes: int = 1,
    constants: Mapping[str, float] | None = None,
    host: str = "127.0.0.1",
    spare_threads: int = 0,
    **limits: float,
) -> Iterator[Server]:
    options = [str(processes), json.dumps(limits), json.dumps(constants or {}), host, str(spare_threads)]
    command = [sys.executable, "-m", APPLICATION, *options]
    with subprocess.Popen(command, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        server = Server(int(process.stdout.readline()), process)
        try:
            wait_for(lambda: _answers(server))
            yield server
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


def _answers(server: Server) -> bool:
    try:
        return server.get("/livez").startswith(b"HTTP/1.1 200 ")  # the answer is empty if this process was late
    except OSError:
        return False


StartServer = Callable[..., Server]


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    """Start a server with the limits that a test chooses."""
    with ExitStack() as stack:
        yield lambda **limits: stack.enter_context(running(**limits))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(max_body_bytes=30_000_000) as started:
        yield started
