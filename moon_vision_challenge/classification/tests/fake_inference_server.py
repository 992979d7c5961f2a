"""A server of the Open Inference Protocol that answers as configured, to simulate faults and other servers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from moon_vision_challenge.tests.serving import serving

TENSORS = {
    "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 2, 2, 3]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}],
}
MODEL = "/v2/models/m"
PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
SCORES = {"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": [0.1, 0.7, 0.2]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "FakeInferenceServer"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        length = self.headers.get("Inference-Header-Content-Length")
        end = int(length) if length else len(body)
        self.server.requests.append((json.loads(body[:end]), body[end:]))
        self._answer()

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self._answer()

    def _answer(self) -> None:
        status, body = self.server.answers.get(self.path, (404, b'{"error": "no such path"}'))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if status == 200 and (length := self.server.json_length):
            self.send_header("Inference-Header-Content-Length", str(length))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: pytest shows what matters."""


class FakeInferenceServer(ThreadingHTTPServer):
    """Serves the model `m`. `infers` sets the answer to inferences."""

    daemon_threads = True

    def __init__(self, *extensions: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, tuple[int, Any]] = {
            "/v2": (200, {"name": "fake", "version": "1", "extensions": list(extensions)}),
            MODEL: (200, {"name": "m", "versions": ["1", "3"], "platform": "none", **TENSORS}),
            f"{MODEL}/ready": (200, b""),
        }
        self.json_length: int | None = None
        self.asked: list[str] = []
        self.requests: list[tuple[Any, bytes]] = []
        """The JSON and the binary data of each."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def infer_url(self) -> str:
        return f"{self.url}{MODEL}/infer"

    def infers(self, *outputs: Any) -> None:
        self.answers[f"{MODEL}/infer"] = (200, {"model_name": "m", "outputs": list(outputs)})


@contextmanager
def fake_inference_server(*extensions: str) -> Iterator[FakeInferenceServer]:
    with serving(FakeInferenceServer(*extensions)) as server:
        yield server
