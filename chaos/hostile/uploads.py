"""Posts images to v0 and v1, and compares what a client gets with the verdict of the corpus."""

import statistics
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import requests

from chaos.corpus import Case, Verdict
from chaos.corpus.case import encode, photo
from chaos.corpus.png import from_rows
from chaos.hostile.meter import Meter
from native.environment import ROOT
from native.process import poll
from native.readiness import MODEL

TIMEOUT_S = 120
MAX_IMAGE_BYTES = 20 * 1024 * 1024
"""The default of INFERENCE_MAX_IMAGE_BYTES."""
_FINAL = ("done", "fail", "canceled")
_PAUSE_S = 0.03
PHOTO = (ROOT / "samples" / "coffee.jpg").read_bytes()


def rgba() -> bytes:
    return encode(photo(8000, 6000, "RGBA"), "PNG", compress_level=1)


def twelve_bits() -> bytes:
    """Return a photo with a camera's 12 bits in 16."""
    side = 5300
    levels = (np.asarray(photo(side, side, "RGBA")).reshape(side, -1).astype(np.uint16) << 4).astype(">u2")
    return from_rows(side, side, 16, 6, levels.view(np.uint8))


DEAREST = (
    Case("sound: PNG, RGBA, 48 megapixels", rgba, Verdict.ACCEPTED),
    Case("sound: PNG, RGBA, 12 bits in 16, 28 megapixels", twelve_bits, Verdict.ACCEPTED),
)
"""The most expensive valid images within the default limits."""


class Answer(NamedTuple):
    status: int
    body: object
    """The label, the error, or the final state of a row."""


class Result(NamedTuple):
    """The answers to one case, and what it cost."""

    case: Case
    v0: Answer
    v1: Answer
    v0_cpu_s: float
    v1_cpu_s: float
    """The CPU time of web, worker, and their decoders."""
    peak_bytes: int
    """The peak memory of the largest process."""

    @property
    def agrees(self) -> bool:
        if self.v0.status == 200:
            return self.v1 == Answer(201, ("done", self.v0.body))
        return self.v0 == self.v1

    @property
    def is_as_expected(self) -> bool:
        return self.v0.status in ((200,) if self.case.verdict == Verdict.ACCEPTED else (400, 413))


def post(url: str, version: str, data: bytes) -> requests.Response:
    return requests.post(
        f"{url}/api/{version}/inferences/",
        data={"model_type": MODEL},
        files={"image": ("picture", data)},
        timeout=TIMEOUT_S,
    )


def ask_v0(url: str, data: bytes) -> Answer:
    response = post(url, "v0", data)
    body = response.json()
    return Answer(response.status_code, body["label"] if response.ok else body)


def ask_v1(url: str, data: bytes) -> Answer:
    """Post an image to v1, and wait until the row is final."""
    response = post(url, "v1", data)
    if response.status_code != 201:
        return Answer(response.status_code, response.json())
    row = response.json()

    def is_final() -> bool:
        row.update(requests.get(response.headers["Location"], timeout=TIMEOUT_S).json())
        return row["status"] in _FINAL

    poll(is_final, TIMEOUT_S)
    return Answer(201, (row["status"], row["label"] or row.get("error")))


def try_case(url: str, case: Case, web: Meter, worker: Meter) -> Result:
    data = case.make()
    for meter in (web, worker):
        meter.reset_peak()
    at_start = web.cpu_s()
    v0 = ask_v0(url, data)
    between, worker_at_start = web.cpu_s(), worker.cpu_s()
    v1 = ask_v1(url, data)
    v1_cpu_s = web.cpu_s() - between + worker.cpu_s() - worker_at_start
    return Result(case, v0, v1, between - at_start, v1_cpu_s, max(web.peak_bytes(), worker.peak_bytes()))


@dataclass
class Neighbour:
    """A client that posts a valid photo to v0 again and again."""

    url: str
    latencies_s: list[float] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)

    def post_until(self, stop: threading.Event) -> None:
        while not stop.wait(_PAUSE_S):
            start = time.perf_counter()
            status = post(self.url, "v0", PHOTO).status_code
            self.latencies_s.append(time.perf_counter() - start)
            if status != 200:
                self.failures.append(status)

    @property
    def p95_s(self) -> float:
        return statistics.quantiles(self.latencies_s, n=20)[-1]
