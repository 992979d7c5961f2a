"""A consumer's end of a webhook."""

import base64
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from typing import Any

from moon_vision_challenge.classification import events
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.webhooks import tasks
from moon_vision_challenge.webhooks.models import WebhookDelivery

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


class Receiver(ThreadingHTTPServer):
    """A consumer's server that answers as configured."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        self.status = 204
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.stopping = Event()
        self.hung_up: list[OSError] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?tenant=7"


class ReceiverHandler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/drip"):
            self._drip()
            return
        self.server.received.append((dict(self.headers), body))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", self.server.url)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _drip(self) -> None:
        """Send an answer that never ends, with a byte before every read timeout."""
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Endless: ")
            while not self.server.stopping.wait(0.05):
                self.wfile.write(b"x")
        except OSError as error:
            self.server.hung_up.append(error)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def final_inference(url: str, status: str = "done") -> Inference:
    inference = Inference.objects.create(
        model_type="resnet", image="x.jpg", webhook_url=url, status=status, label="tabby"
    )
    events.announce_final([inference])
    return inference


def deliver_due() -> WebhookDelivery:
    tasks.deliver()
    return WebhookDelivery.objects.get()
