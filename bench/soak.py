"""`python -m bench.soak`: the memory of each service over many requests to v0 and v1, with lite0 in int8.

Clients post photos of several sizes and formats, and files that are not photos. Those of v1 read their rows until they
are done.
"""

import argparse
import http.client
import io
import itertools
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson
from PIL import Image

from native.process import poll

from . import load, model_server, running_services, v0, v1
from .photo import photo
from .table import table

V0_CLIENTS, V1_CLIENTS = 4, 2
AHEAD = 16
"""The number of rows that a client of v1 posts before it reads them."""
DONE_TIMEOUT_S = 60
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
SERVICES = ("web", "worker", "redis", "postgres")


class Clients:
    """Threads that post until the context ends or an answer is wrong."""

    def __init__(self, url: str) -> None:
        self.requests = 0
        self.error: Exception | None = None
        self._address = urlsplit(url)
        self._bodies = itertools.cycle(bodies())
        self._lock = threading.Lock()
        self._is_over = False
        works = [self._classify] * V0_CLIENTS + [self._create] * V1_CLIENTS
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in works]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        for thread in self._threads:
            thread.join()

    def have_sent(self, requests: int) -> bool:
        return self.requests >= requests or self.error is not None

    def _run(self, work: Callable[[http.client.HTTPConnection], None]) -> None:
        address = self._address
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=load.TIMEOUT_S)
        try:
            while not self._is_over:
                work(connection)
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self.error, self._is_over = error, True
        finally:
            connection.close()

    def _classify(self, connection: http.client.HTTPConnection) -> None:
        self._post(connection, v0.PATH, 200)

    def _create(self, connection: http.client.HTTPConnection) -> None:
        """Post some rows, then read them."""
        posted = deque(row["id"] for _ in range(AHEAD) if (row := self._post(connection, v1.PATH, 201)))
        while posted:
            path = f"{v1.PATH}{posted.popleft()}/"
            if not poll(partial(self._is_done, connection, path), DONE_TIMEOUT_S):
                raise RuntimeError(f"{path} is not done after {DONE_TIMEOUT_S} s")

    def _is_done(self, connection: http.client.HTTPConnection, path: str) -> bool:
        return bool(self._ask(connection, "GET", path)["status"] == "done")

    def _post(self, connection: http.client.HTTPConnection, path: str, status: int) -> Any:
        """Post the next file. Returns the answer to a photo, and None for another file."""
        with self._lock:
            body, is_photo = next(self._bodies)
        answer = self._ask(connection, "POST", path, status if is_photo else 400, body)
        return answer if is_photo else None

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, status: int = 200, body: bytes = b""
    ) -> Any:
        headers = {"Content-Type": f"multipart/form-data; boundary={load.BOUNDARY}"} if body else {}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        if response.status != status:
            raise RuntimeError(f"{method} {path} answered {response.status}: {content[:300]!r}")
        with self._lock:
            self.requests += 1
        return orjson.loads(content)


def bodies() -> list[tuple[bytes, bool]]:
    """Return the bodies of requests, and whether each holds a photo."""
    first = photo()
    with Image.open(io.BytesIO(first)) as image:
        files = [
            _saved(image.resize(size), form) for size in ((160, 120), (640, 480), (1600, 1200)) for form in FORMATS
        ]
    files += [first] * 100
    found = [(data, True) for data in files] + [(first[: len(first) // 2], False), (b"not a photo", False)]
    fields = {"model_type": model_server.NAME}
    return [(load.multipart("", "", {"image": data}, fields).partition(b"\r\n\r\n")[2], good) for data, good in found]


def _saved(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def soak(*, requests: int, minutes: float) -> None:
    """Print the memory at each tenth of the requests, and its slope over the second half."""
    models_dir = model_server.build("int8")
    with (
        model_server.started(models_dir) as (model_url, model_pid),
        running_services.service(
            "web",
            "worker",
            env={"TF_SERVING_URL": model_url.partition("/v1/")[0] + "/v2"},
            run_dir=running_services.BENCH_DIR / "soak",
        ) as own,
    ):
        pids = {**{name: own.pid(name) for name in SERVICES}, "model server": model_pid}
        begin = time.monotonic()
        rows: list[list[float]] = []
        print("requests, minutes, MB of " + ", ".join(pids), flush=True)
        with Clients(f"http://127.0.0.1:{own.env['WEB_PORT']}") as clients:
            for mark in range(0, requests + 1, requests // 10):
                end = begin + 60 * minutes
                poll(partial(clients.have_sent, mark), end - time.monotonic())
                if clients.error:
                    raise clients.error
                rows.append([clients.requests, (time.monotonic() - begin) / 60, *map(load.memory_mb, pids.values())])
                print(", ".join(f"{value:.1f}" for value in rows[-1]), flush=True)
                if time.monotonic() >= end:
                    break
    print(table(["", *pids], [_slopes(rows, len(pids))]))


def _slopes(rows: list[list[float]], services: int) -> list[str]:
    half = rows[len(rows) // 2 :]
    done = [row[0] / 10_000 for row in half]
    slopes = [statistics.linear_regression(done, [row[2 + number] for row in half]).slope for number in range(services)]
    return ["MB per 10,000 requests, second half", *(f"{slope:+.2f}" for slope in slopes)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=25, help="ends after this time at the latest (default: 25)")
    options = parser.parse_args()
    soak(requests=options.requests, minutes=options.minutes)
