"""`python -m bench.scaling`: the simulation of the queue, fitted on one process, beside runs with two and three.

The model only waits (bench/slow_model_server.py), so that few cores suffice. Inferences arrive at
random. Of the runs with two and three processes, the simulation gets the times of arrival, and nothing else.
"""

import argparse
import io
import random
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise

import psycopg2
import requests
from PIL import Image

from bench import running_services
from bench.queueing import Batch, Costs, fit, percentile, simulate
from bench.table import table
from bench.v1 import PATH
from native.environment import free_port
from native.process import poll

RATE = 2.7
"""Inferences per second and process: six tenths of what the model allows one process."""
WARM_UP_S = 10.0
"""Each process imports and connects at its first claim, which takes a second or two on a busy machine."""
_ROWS = """
SELECT extract(epoch FROM created_at), extract(epoch FROM started_at), extract(epoch FROM finished_at)
FROM classification_inference WHERE status = 'done' ORDER BY created_at
"""
_DRAINED = "SELECT NOT EXISTS (SELECT FROM classification_inference WHERE status IN ('pending', 'processing'))"

Row = tuple[float, float, float]
"""When an inference was created, when it was claimed, and when it had its result."""


def run(processes: int, *, seconds: float) -> list[Row]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = ("-m", "granian", "--interface", "rsgi", "--no-ws", "--log-level", "error", "--port", str(port))
    env = {"TF_SERVING_URL": url, "CELERY_WORKER_CONCURRENCY": str(processes)}
    ready = f"{url}/v1/models/any"
    with (
        running_services.process(sys.executable, *server, "bench.slow_model_server:application", ready=ready),
        running_services.service("web", "worker", env=env) as own,
        closing(psycopg2.connect(own.env["DATABASE_URL"])) as database,
        database.cursor() as cursor,
    ):
        database.autocommit = True

        def is_drained() -> bool:
            cursor.execute(_DRAINED)
            return bool((cursor.fetchone() or [False])[0])

        for duration_s in (WARM_UP_S, seconds):
            cursor.execute("DELETE FROM classification_inference")
            _post(f"http://127.0.0.1:{own.env['WEB_PORT']}{PATH}", rate=RATE * processes, seconds=duration_s)
            if not poll(is_drained, 600):
                raise RuntimeError(f"the queue is not empty; see {own.log('worker')}")
        cursor.execute(_ROWS)
        return [(float(created), float(started), float(ended)) for created, started, ended in cursor.fetchall()]


def _post(url: str, *, rate: float, seconds: float) -> None:
    """Post photos at random times, however long the answers take."""
    times, body = random.Random(1), _small_photo()

    def send() -> None:
        fields, files = {"model_type": "efficientnet_lite0"}, {"image": ("photo.jpg", body)}
        requests.post(url, data=fields, files=files, timeout=60)  # a refused one creates no row and counts nowhere

    with ThreadPoolExecutor(32) as pool:
        end, due = time.monotonic() + seconds, time.monotonic()
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            pool.submit(send)
            due += times.expovariate(rate)


def _small_photo() -> bytes:
    """Return a photo that costs web and workers next to nothing."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(file, "JPEG")
    return file.getvalue()


def batches(rows: Sequence[Row]) -> list[Batch]:
    """Return the claims of one process. The rows of a claim have the same start time."""
    claims: dict[float, list[Row]] = {}
    for row in rows:
        claims.setdefault(row[1], []).append(row)
    ordered = [claims[started] for started in sorted(claims)]
    found = [Batch(len(ordered[0]), ordered[0][0][2] - ordered[0][0][1], -1)]
    for before, claim in pairwise(ordered):
        had_to_wait = claim[0][0] < before[0][2]
        pause_s = claim[0][1] - before[0][2] if had_to_wait else -1
        found.append(Batch(len(claim), claim[0][2] - claim[0][1], pause_s))
    return found


def compare(rows: Sequence[Row], processes: int, costs: Costs) -> list[str]:
    measured = [ended - created for created, _, ended in rows]
    predicted = simulate([created for created, *_ in rows], processes=processes, costs=costs)
    cells = [f"{processes}", f"{len(rows)}"]
    for of in (statistics.mean, lambda values: percentile(values, 0.95)):
        was, said = of(measured), of(predicted)
        cells += [f"{was:.2f}", f"{said:.2f}", f"{said / was - 1:+.0%}"]
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of each run (default: %(default)s)")
    options = parser.parse_args()
    rows = run(1, seconds=options.seconds)
    costs = fit(batches(rows))
    sys.stdout.write(f"fitted on one process: {costs}, at most {costs.rate:.1f} images/s\n")
    lines = [compare(rows, 1, costs)]
    lines += [compare(run(processes, seconds=options.seconds), processes, costs) for processes in (2, 3)]
    head = ["Processes", "Inferences", "Mean s", "Simulated", "Error", "p95 s", "Simulated", "Error"]
    sys.stdout.write(table(head, lines) + "\n")


if __name__ == "__main__":
    main()
