"""A model server that misbehaves as configured, for faults only. Tests of what works use the real one."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moon_vision_challenge.tests.serving import serving

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "FakeModelServer"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, json.loads(body)))
        self.server.answer(self)

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path.endswith("/metadata"):
            self.server.metadata(self)
        elif self.server.status is not None:
            self.server.status(self)
        else:
            self.server.answer(self)

    def reply(self, status: int, body: bytes, *, content_length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if content_length is None else content_length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: pytest shows what matters."""


class FakeModelServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.metadata: Answer = has_signatures(raw=({"images": "DT_STRING"}, {"probabilities": ("DT_FLOAT", -1, 1000)}))
        self.status: Answer | None = None  # None: the same as `answer`
        self.asked: list[str] = []  # the paths of all GET requests
        self.requests: list[tuple[str, Any]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def replies(status: int, body: Any) -> Answer:
    """Answer with this status and body: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda handler: handler.reply(status, content)


def has_signatures(**signatures: tuple[dict[str, Any], dict[str, Any]]) -> Answer:
    """Answer with these signatures, each (inputs, outputs). A tensor is a dtype or (dtype, size, size, ...)."""

    def tensors(infos: dict[str, Any]) -> dict[str, Any]:
        return {alias: tensor(*([info] if isinstance(info, str) else info)) for alias, info in infos.items()}

    def tensor(dtype: str, *shape: int) -> dict[str, Any]:
        dims = [{"size": str(size), "name": ""} for size in shape or (-1,)]
        return {"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": "x:0"}

    definitions = {
        name: {"inputs": tensors(ins), "outputs": tensors(outs), "method_name": "tensorflow/serving/predict"}
        for name, (ins, outs) in signatures.items()
    }
    return replies(200, {"metadata": {"signature_def": {"signature_def": definitions}}})


def has_versions(*versions: int, state: str = "AVAILABLE", error_message: str = "") -> Answer:
    status = {"error_code": "OK", "error_message": error_message}
    found = [{"version": str(one), "state": state, "status": status} for one in versions]
    return replies(200, {"model_version_status": found})


def predicts(index: int, classes: int = 1000) -> Answer:
    """Answer each instance with probabilities that are highest at `index`."""

    def answer(handler: Handler) -> None:
        if handler.command == "GET":
            handler.reply(404, b'{"error": "nothing is known of this model"}')
            return
        instances = handler.server.requests[-1][1]["instances"]
        scores = [0.9 if number == index else 0.0001 for number in range(classes)]
        handler.reply(200, json.dumps({"predictions": [scores] * len(instances)}).encode())

    return answer


def stalls(handler: Handler) -> None:
    """Send nothing until the test is over."""
    handler.server.released.wait()
    handler.close_connection = True


def stalls_in_the_body(handler: Handler) -> None:
    handler.reply(200, b'{"predictions": [[', content_length=1000)
    stalls(handler)


def hangs_up(handler: Handler) -> None:
    """Reset the connection instead of answering."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def hangs_up_in_the_body(handler: Handler) -> None:
    handler.reply(200, b'{"predictions": [[', content_length=1000)
    handler.close_connection = True


@contextmanager
def fake_model_server(answer: Answer) -> Iterator[FakeModelServer]:
    with serving(FakeModelServer(answer)) as server:
        try:
            yield server
        finally:
            server.released.set()
