"""What a request to v1 costs: the POST that stores it, and the worker that classifies it."""

import statistics
import time
from contextlib import closing

import psycopg2

from native.process import poll

from . import load, services
from .photo import photo
from .table import table

PATH = "/api/v1/inferences/"
DRAIN_TIMEOUT_S = 300


def measure(*, rounds: int = 5, seconds: float = 5, clients: int = 8) -> dict[str, float]:
    """v1 with a null model server: prints the table, returns its figures (milliseconds, requests a second).

    The worker is halted by a signal while requests are accepted, so that each half has the machine to itself.
    """
    with (
        services.null_model_server() as model_url,
        services.service("web", "worker", env={"TF_SERVING_URL": model_url}) as own,
        closing(psycopg2.connect(own.env["DATABASE_URL"])) as database,  # one for all: to connect costs 10 ms of CPU
    ):
        database.autocommit = True
        url = f"http://127.0.0.1:{own.env['WEB_PORT']}"
        request = services.photo_request(url, PATH, photo())
        web, worker = {"web": own.pid("web")}, own.pid("worker")
        accepted, drained, task_ms = [], [], []
        for number in range(rounds + 1):
            halted = load.tree(worker)
            for process in halted:
                process.suspend()
            posted = load.post(
                url,
                request,
                clients=clients,
                seconds=seconds if number else 1,
                services=web,
                check=lambda status, _: status == 201,
            )
            before, start = load.cpu_s(worker), time.perf_counter()
            for process in halted:
                process.resume()
            if not poll(lambda: _is_drained(database), DRAIN_TIMEOUT_S):
                raise RuntimeError(f"the queue is not empty after {DRAIN_TIMEOUT_S} s; see {own.log('worker')}")
            elapsed = time.perf_counter() - start
            if number:  # the first round fills caches and pools
                accepted.append(posted)
                drained.append(posted.requests / elapsed)
                task_ms.append((load.cpu_s(worker) - before) / posted.requests * 1e3)
    figures = {
        "accepted": statistics.median(each.rate for each in accepted),
        "post_p50_ms": statistics.median(each.p50_ms for each in accepted),
        "post_p95_ms": statistics.median(each.p95_ms for each in accepted),
        "post_cpu_ms": statistics.median(each.cpu_ms["web"] for each in accepted),
        "drained": statistics.median(drained),
        "task_cpu_ms": statistics.median(task_ms),
    }
    post = ["POST (web)", figures["accepted"], figures["post_cpu_ms"], figures["post_p50_ms"], figures["post_p95_ms"]]
    task = ["task (worker)", figures["drained"], figures["task_cpu_ms"]]
    print(f"\nv1, null model server, {clients} clients, {rounds} rounds of {seconds:g} s, medians")
    rows = [[str(row[0]), *(f"{value:.1f}" for value in row[1:])] for row in (post, task)]
    print(table(["", "inferences/s", "CPU ms", "p50 ms", "p95 ms"], [[*row, "", ""][:5] for row in rows]))
    return figures


def _is_drained(connection: psycopg2.extensions.connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT NOT EXISTS (SELECT FROM classification_inference WHERE status IN ('pending', 'processing'))"
        )
        (is_drained,) = cursor.fetchone() or (False,)
        return bool(is_drained)
