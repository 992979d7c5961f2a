"""Clients that retry until they get 201, whatever happens to the services."""

import io
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import requests
from PIL import Image, ImageOps

from native.environment import ROOT
from native.readiness import MODEL

from .photo import photo

TIMEOUT_S = 20


@dataclass
class Posted:
    """What the clients observed."""

    accepted: dict[int, bytes] = field(default_factory=dict)
    """The posted image of each inference that was answered with 201, by id."""
    latencies_s: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    given_up: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def interrupted(self) -> int:
        """The number of requests for which the client cannot know whether they created a row."""
        return sum(count for answer, count in self.answers.items() if answer not in {"201", "refused"})


def pictures() -> list[bytes]:
    """Return images with different labels."""
    coffee = Image.open(ROOT / "samples" / "coffee.jpg").convert("RGB")
    width, height = coffee.size
    side = min(width, height) // 3
    corners = [(x, y) for x in (0, width // 3, width - side) for y in (0, height // 3, height - side)]
    cuts = [coffee.crop((x, y, x + side, y + side)) for x, y in corners]
    made = [coffee, ImageOps.invert(coffee), ImageOps.solarize(coffee), ImageOps.posterize(coffee, 1), *cuts]
    return [photo(), *map(_jpeg, made)]


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def post(url: str, version: str, data: bytes) -> requests.Response:
    return requests.post(
        f"{url}/api/{version}/inferences/",
        data={"model_type": MODEL},
        files={"image": ("photo.jpg", data)},
        timeout=TIMEOUT_S,
    )


def post_until_accepted(url: str, data: bytes, rng: random.Random, deadline: float, posted: Posted) -> None:
    """Run one persistent client, which retries until it gets 201."""
    while time.monotonic() < deadline and not posted.stop.is_set():
        start = time.perf_counter()
        try:
            response = post(url, "v1", data)
        except requests.ConnectionError as error:
            # Without a connection, no request was sent. After a broken one, it is unknown how much the service read.
            posted.answers["refused" if "Connection refused" in str(error) else "connection lost"] += 1
        except requests.Timeout:
            posted.answers["no answer in time"] += 1
        else:
            posted.answers[str(response.status_code)] += 1
            if response.status_code == 201:
                posted.latencies_s.append(time.perf_counter() - start)
                posted.accepted[response.json()["id"]] = data
                return
        posted.stop.wait(rng.uniform(0.1, 0.5))
    posted.given_up += 1
