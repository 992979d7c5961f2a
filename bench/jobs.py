"""Measures how fast a job of many images is accepted and drained, and how long a single image waits meanwhile."""

import io
import statistics
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import requests
from PIL import Image

from native.process import poll
from native.services import Services

from . import load, running_services
from .photo import photo
from .table import table

IMAGES = 10_000
SINGLES = 30
DRAINED_ROWS = 2000
SINGLES_FORGOTTEN_S = 3
"""The time after which single rows no longer make a worker claim fewer rows of jobs."""
MODEL = "efficientnet_lite0"
TIMEOUT_S = 1800
_SIDE = 320

# Rows of both kinds differ only in what the claim sees.
_INSERT = """
INSERT INTO classification_inference (
    model_type, image, label, predictions, status, attempts, queue, webhook_url, version_label, turn, job_id, position
)
SELECT %(model)s, %(image)s, '', '[]', 'pending', 0, 'inferences', '', '', %(turn)s + number, %(job)s, number
FROM generate_series(0, %(count)s - 1) AS number
"""
_BULK = 2**60


def measure(*, rounds: int = 5, seconds: float = 5) -> dict[str, float]:  # noqa: ARG001 - the same for all measurements
    """Print the table, and return its figures."""
    with running_services.service("model_server", "web", "worker") as own:
        url = f"http://127.0.0.1:{own.env['WEB_PORT']}"
        image = _small_photo()
        with closing(psycopg2.connect(own.env["DATABASE_URL"])) as database:
            database.autocommit = True
            idle = _latencies(url, image)
            begin = time.perf_counter()
            job_id = _post_job(url, image)
            figures = {"answered_s": time.perf_counter() - begin}
            busy = _latencies(url, image)
            _wait(database, "SELECT unpacked = total FROM jobs_job WHERE id = %s", job_id)
            figures["unpacked_s"] = time.perf_counter() - begin
            busy += _latencies(url, image)
            _wait(database, "SELECT status = 'done' FROM jobs_job WHERE id = %s", job_id)
            figures["done_s"] = time.perf_counter() - begin
            figures |= _drains(own, database, rounds)
    for name, found in (("idle", idle), ("busy", busy)):
        figures |= {f"{name}_p50_ms": statistics.median(found), f"{name}_p95_ms": statistics.quantiles(found, n=20)[-1]}
    print(f"\na job of {IMAGES:,} images of {len(image):,} bytes; {SINGLES} single images one after the other")
    print(table(["", "value"], [[name, f"{value:.1f}"] for name, value in figures.items()]))
    return figures


def _latencies(url: str, image: bytes) -> list[float]:
    """Return the milliseconds from each POST of a single image to its label."""
    found = []
    for _ in range(SINGLES):
        begin = time.perf_counter()
        row = requests.post(
            f"{url}/api/v1/inferences/",
            data={"model_type": MODEL},
            files={"image": image},
            headers={"Prefer": "wait=30"},
            timeout=60,
        ).json()
        if row["status"] != "done":
            raise RuntimeError(f"a single image was not classified: {row}")
        found.append((time.perf_counter() - begin) * 1e3)
    return found


def _post_job(url: str, image: bytes) -> int:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(IMAGES):
            archive.writestr(f"{number}.jpg", image)
    headers = {"Content-Type": "application/zip"}
    data = buffer.getvalue()
    answer = requests.post(f"{url}/api/v1/jobs/?model_type={MODEL}", data=data, headers=headers, timeout=600)
    answer.raise_for_status()
    return int(answer.json()["id"])


def _drains(own: Services, database: psycopg2.extensions.connection, rounds: int) -> dict[str, float]:
    """Measure the rows per second of both kinds, in turns."""
    rates: dict[str, list[float]] = {"single": [], "job": []}
    with database.cursor() as cursor:
        cursor.execute("SELECT image FROM classification_inference WHERE image <> '' LIMIT 1")
        (image,) = cursor.fetchone() or ("",)
    for _ in range(rounds):
        for kind, found in rates.items():
            with _halted(own):
                parameters = {"model": MODEL, "image": image, "count": DRAINED_ROWS}
                lane = {"turn": 0, "job": None} if kind == "single" else {"turn": _BULK, "job": _new_job(database)}
                with database.cursor() as cursor:
                    cursor.execute(_INSERT, {**parameters, **lane})
                    cursor.execute("ANALYZE classification_inference")
                time.sleep(SINGLES_FORGOTTEN_S)
            begin = time.perf_counter()
            _wait(database, "SELECT NOT EXISTS (SELECT FROM classification_inference WHERE status = 'pending')")
            found.append(DRAINED_ROWS / (time.perf_counter() - begin))
    ratio = statistics.median(job / single for job, single in zip(rates["job"], rates["single"], strict=True))
    return {f"{kind}_drain_per_s": statistics.median(found) for kind, found in rates.items()} | {"drain_ratio": ratio}


@contextmanager
def _halted(own: Services) -> Iterator[None]:
    processes = load.tree(own.pid("worker"))
    for process in processes:
        process.suspend()
    yield
    for process in processes:
        process.resume()
    # The rows were not announced, so a message wakes one worker process, which wakes the other.
    url = f"http://127.0.0.1:{own.env['WEB_PORT']}"
    requests.post(
        f"{url}/api/v1/inferences/", data={"model_type": MODEL}, files={"image": photo()}, timeout=60
    ).raise_for_status()


def _new_job(database: psycopg2.extensions.connection) -> int:
    with database.cursor() as cursor:
        cursor.execute(
            "INSERT INTO jobs_job (owner_id, model_type, version_label, top_k, webhook_url, status, upload, container,"
            " upload_offset, upload_bytes, boundary, total, unpacked, idempotency_scope, idempotency_key,"
            " payload_sha256) VALUES (0, %s, '', 1, '', 'processing', '', 'zip', 0, 0, '', %s, %s, '', '', '')"
            " RETURNING id",
            [MODEL, DRAINED_ROWS, DRAINED_ROWS],
        )
        (job_id,) = cursor.fetchone() or (0,)
        return int(job_id)


def _wait(database: psycopg2.extensions.connection, sql: str, *parameters: object) -> None:
    def is_true() -> bool:
        with database.cursor() as cursor:
            cursor.execute(sql, parameters)
            return bool((cursor.fetchone() or (False,))[0])

    if not poll(is_true, TIMEOUT_S):
        raise RuntimeError(f"still not true after {TIMEOUT_S} s: {sql}")


def _small_photo() -> bytes:
    with Image.open(io.BytesIO(photo())) as image:
        image.thumbnail((_SIDE, _SIDE))
        image.save(buffer := io.BytesIO(), "JPEG", quality=85)
    return buffer.getvalue()
