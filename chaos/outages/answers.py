"""The requests that clients send while a neighbour fails, and the answers that they get."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import requests

from native.environment import ROOT

SETTLE_S = 3
"""The time after which the service must have noticed an outage."""
PAUSE_S = 0.1
V0_CLIENTS = 6
"""Enough to occupy all threads of a web process. Every other kind of request has one client."""
TIMEOUT_S = 60
PHOTO = (ROOT / "samples" / "coffee.jpg").read_bytes()

Question = Callable[[], requests.Response]


@dataclass
class Answers:
    """The answers to one kind of request during an outage: pairs of a status and seconds."""

    early: list[tuple[str, float]] = field(default_factory=list)
    late: list[tuple[str, float]] = field(default_factory=list)
    """The answers to requests sent after SETTLE_S."""

    @property
    def all(self) -> list[tuple[str, float]]:
        return self.early + self.late

    @property
    def codes(self) -> Counter[str]:
        return Counter(code for code, _ in self.all)

    @property
    def longest_s(self) -> float:
        return max((each for _, each in self.all), default=0.0)

    def __str__(self) -> str:
        (first, _), *others = self.codes.most_common()
        codes = ", ".join([first, *(f"{code} x{count}" for code, count in others)])
        median_s = statistics.median(each for _, each in self.late or self.early)
        return f"{codes}; {median_s * 1e3:.0f} ms ({self.longest_s:.1f} s)"


def post(url: str, version: str) -> requests.Response:
    return requests.post(
        f"{url}/api/{version}/inferences/",
        data={"model_type": "efficientnet_lite0"},
        files={"image": ("photo.jpg", PHOTO)},
        timeout=TIMEOUT_S,
    )


def questions(url: str, created: list[str]) -> dict[str, Question]:
    """Return each kind of request. The URLs of the rows that are created go into `created`."""
    first = _created(url)

    def create() -> requests.Response:
        response = post(url, "v1")
        if response.status_code == 201:
            created.append(response.headers["Location"])
        return response

    pages = {page: partial(requests.get, f"{url}/{page}", timeout=TIMEOUT_S) for page in ("livez", "readyz", "status")}
    return {
        "v0": partial(post, url, "v0"),
        "v1 POST": create,
        "v1 GET": partial(requests.get, first, timeout=TIMEOUT_S),
        **pages,
    }


def _created(url: str) -> str:
    """Return the URL of a new row. Each web process must notice by itself that a neighbour is back."""
    deadline = time.monotonic() + TIMEOUT_S
    while "Location" not in (response := post(url, "v1")).headers:
        assert time.monotonic() < deadline, response.text
        time.sleep(PAUSE_S)  # until the service tries the last failed neighbour again
    return response.headers["Location"]


class Clients:
    """Clients that repeat every question for `duration_s`. Each question has separate threads."""

    def __init__(self, asked: Mapping[str, Question], duration_s: float) -> None:
        self.answers = {name: Answers() for name in asked}
        self._begin = time.monotonic()
        self._duration_s = duration_s
        self._threads = [
            threading.Thread(target=self._ask, args=(question, self.answers[name]))
            for name, question in asked.items()
            for _ in range(V0_CLIENTS if name == "v0" else 1)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def are_asking(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _ask(self, question: Question, answers: Answers) -> None:
        while (at_s := time.monotonic() - self._begin) < self._duration_s:
            started = time.monotonic()
            try:
                code = str(question().status_code)
            except requests.RequestException as error:
                code = type(error).__name__
            (answers.early if at_s < SETTLE_S else answers.late).append((code, time.monotonic() - started))
            time.sleep(PAUSE_S)  # between two requests of one client


def is_done(location: str) -> bool:
    try:
        return bool(requests.get(location, timeout=TIMEOUT_S).json().get("status") == "done")
    except requests.RequestException:
        return False


def works(url: str) -> bool:
    try:
        return post(url, "v0").status_code == 200 and post(url, "v1").status_code == 201
    except requests.RequestException:
        return False
