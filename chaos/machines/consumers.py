"""Consumers that use the whole API and check that the service kept every promise to them."""

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import urlsplit

import requests

from chaos.machines.stage import url_of
from chaos.outages.answers import PHOTO, TIMEOUT_S, Question
from native.process import poll
from native.readiness import MODEL
from native.services import Services

_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="  # noqa: S105  # of this run
ENVIRONMENT = {"WEBHOOK_SECRET": _SECRET, "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1"}
IMAGES_PER_JOB = 5
LIMIT_S = 120


class Receiver(ThreadingHTTPServer):
    """A server that receives the webhooks of the consumers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ReceiverHandler)
        self.paths: set[str] = set()
        """Those of the inferences and jobs that have ended."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _ReceiverHandler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind, _, _ = event["type"].partition(".")
        self.server.paths.add(f"/api/v1/{kind}s/{event['data']['id']}/")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Consumers:
    """Records what consumers are promised, and compares it with the outcome. Each question is one kind of consumer."""

    def __init__(self, services: Services, inbox: Receiver) -> None:
        self._url = f"{url_of(services)}/api/v1"
        self._inbox = inbox
        self._numbers = count()
        self.announced: list[str] = []
        """The addresses of inferences and jobs with a webhook."""
        self.jobs: list[str] = []
        self.canceled: list[str] = []
        self.deleted: list[str] = []
        self.keys: dict[str, requests.Response] = {}
        """Idempotency keys, and the answer to the first request with each."""

    def questions(self) -> dict[str, Question]:
        return {
            "v1 with a webhook": self._post_with_webhook,
            "v1 with a key": self._post_with_key,
            "v1 cancel": lambda: self._cancel(self._post()),
            "v1 DELETE": lambda: self._delete(self._post(wait_s=30)),
            "job": self._post_job,
            "job cancel": lambda: self._cancel(self._new_job()),
            "job DELETE": lambda: self._delete(self._new_job()),
            "history": partial(_get, f"{self._url}/history/?page_size=100"),
            "jobs": partial(_get, f"{self._url}/jobs/"),
        }

    def promises(self) -> dict[str, bool]:
        """Wait until everything is final. Returns each promise and whether it was kept."""
        announced = {urlsplit(each).path for each in self.announced}
        kept = {
            "every image of every job has a label": all(poll(partial(_is_done, each), LIMIT_S) for each in self.jobs),
            "every webhook arrived": poll(lambda: announced <= self._inbox.paths, LIMIT_S),
            "what was canceled stays so": all(poll(partial(_is_canceled, each), LIMIT_S) for each in self.canceled),
            "what was deleted is gone": all(poll(partial(_is_gone, each), LIMIT_S) for each in self.deleted),
            "a key leads to the row of its first request": all(
                self._post(key=key).headers["Location"] == first.headers["Location"] for key, first in self.keys.items()
            ),
            "the addresses of images are valid": all(
                _get(first.json()["image"]).content == PHOTO for first in self.keys.values()
            ),
        }
        print(
            f"\n{len(self.jobs)} jobs, {len(self.announced)} webhooks, {len(self.canceled)} canceled, "
            f"{len(self.deleted)} deleted, {len(self.keys)} keys"
        )
        return kept

    def _post(self, *, webhook_url: str = "", key: str = "", wait_s: int = 0) -> requests.Response:
        headers = {"Prefer": f"wait={wait_s}"} if wait_s else {}
        return requests.post(
            f"{self._url}/inferences/",
            data={"model_type": MODEL, **({"webhook_url": webhook_url} if webhook_url else {})},
            files={"image": ("photo.jpg", PHOTO)},
            headers={**headers, **({"Idempotency-Key": key} if key else {})},
            timeout=TIMEOUT_S,
        )

    def _post_with_webhook(self) -> requests.Response:
        created = self._post(webhook_url=self._inbox.url)
        if created.status_code == 201:
            self.announced.append(created.headers["Location"])
        return created

    def _post_with_key(self) -> requests.Response:
        key = f"key-{next(self._numbers)}"
        created = self._post(key=key)
        if created.status_code == 201:
            self.keys[key] = created
        return created

    def _post_job(self) -> requests.Response:
        created = self._new_job(self._inbox.url)
        if created.status_code == 201:
            self.jobs.append(created.headers["Location"])
            self.announced.append(created.headers["Location"])
        return created

    def _new_job(self, webhook_url: str = "") -> requests.Response:
        return requests.post(
            f"{self._url}/jobs/",
            data={"model_type": MODEL, **({"webhook_url": webhook_url} if webhook_url else {})},
            files={"archive": ("photos.zip", _archive())},
            timeout=TIMEOUT_S,
        )

    def _cancel(self, created: requests.Response) -> requests.Response:
        if created.status_code != 201:
            return created
        response = requests.post(f"{created.headers['Location']}cancel/", timeout=TIMEOUT_S)
        if response.status_code == 200:
            self.canceled.append(created.headers["Location"])
        return response

    def _delete(self, created: requests.Response) -> requests.Response:
        if created.status_code != 201:
            return created
        response = requests.delete(created.headers["Location"], timeout=TIMEOUT_S)
        if response.ok:
            self.deleted.append(created.headers["Location"])
        return response


def _archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(IMAGES_PER_JOB):
            archive.writestr(f"{number}.jpg", PHOTO)
    return file.getvalue()


def _get(location: str) -> requests.Response:
    return requests.get(location, timeout=TIMEOUT_S)


def _is_done(job: str) -> bool:
    found = _get(job).json()
    return bool(found["status"] == "done" and found["counts"]["done"] == IMAGES_PER_JOB)


def _is_canceled(location: str) -> bool:
    return bool(_get(location).json()["status"] == "canceled")


def _is_gone(location: str) -> bool:
    return _get(location).status_code == 404
