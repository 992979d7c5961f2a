"""Classifies the sample photo through both versions of the API, as a user would."""

import time
from dataclasses import dataclass
from typing import Any

import requests

from .environment import ROOT, CannotRunError
from .process import poll
from .readiness import MODEL

PHOTO = ROOT / "samples" / "coffee.jpg"
EXPECTED_LABEL = "espresso"
TIMEOUT_S = 30


@dataclass(frozen=True)
class Answer:
    """The answer of one version of the API: the label, and the seconds from the request to the label."""

    door: str
    label: str
    seconds: float

    @property
    def is_right(self) -> bool:
        return self.label == EXPECTED_LABEL


def classify_at_once(base_url: str, token: str = "") -> Answer:
    """Raises CannotRunError if the service does not answer with a label."""
    start = time.monotonic()
    reply = _request("POST", f"{base_url}/api/v0/inferences/", token)
    return Answer("POST /api/v0/inferences/", reply["label"], time.monotonic() - start)


def classify_through_queue(base_url: str, token: str = "") -> Answer:
    """Raises CannotRunError if the inference fails, or is not done within TIMEOUT_S."""
    start = time.monotonic()
    row = _request("POST", f"{base_url}/api/v1/inferences/", token)
    url = f"{base_url}/api/v1/inferences/{row['id']}/"

    def is_final() -> bool:
        row.update(_request("GET", url, token))
        return row["status"] in {"done", "fail"}

    if not poll(is_final, TIMEOUT_S):
        raise CannotRunError(f"{url} is still {row['status']} after {TIMEOUT_S} s: see the worker's log.")
    if row["status"] == "fail":
        raise CannotRunError(f"{url} failed: {row.get('error') or 'no reason given'}")
    return Answer("POST /api/v1/inferences/", row["label"], time.monotonic() - start)


def curl(base_url: str, *, with_token: bool = False) -> str:
    """Return a command for a user to try."""
    header = '-H "Authorization: Bearer $(make token)" ' if with_token else ""
    return f"curl {header}-F model_type={MODEL} -F image=@{PHOTO.relative_to(ROOT)} {base_url}/api/v0/inferences/"


def _request(method: str, url: str, token: str) -> dict[str, Any]:
    form: dict[str, Any] = {"headers": {"Authorization": f"Bearer {token}"}} if token else {}
    if method == "POST":
        form |= {"data": {"model_type": MODEL}, "files": {"image": (PHOTO.name, PHOTO.read_bytes(), "image/jpeg")}}
    try:
        reply = requests.request(method, url, timeout=TIMEOUT_S, **form)
    except requests.RequestException as error:
        raise CannotRunError(f"{method} {url} got no answer: {error}") from error
    if not reply.ok:
        raise CannotRunError(f"{method} {url} answered {reply.status_code}: {reply.text[:500]}")
    body: dict[str, Any] = reply.json()
    return body
