"""Measures the cost of a request to v1: the POST that stores it, and the worker that classifies it."""

import io
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import psycopg2
from PIL import Image

from moon_vision_challenge.model_io import pixels
from moon_vision_challenge.model_io.declaration import Declaration
from native.process import poll
from native.services import Services

from . import load, model_server, running_services
from .photo import photo
from .table import rates_table, table

PATH = "/api/v1/inferences/"
DRAIN_TIMEOUT_S = 300
DRAINED, WITH_DECODING = "the queue, drained", "the faster of these, and each image decoded and resized"


def measure(*, rounds: int = 5, seconds: float = 5, clients: int = 8) -> dict[str, float]:
    """Measure v1 with a null model server. Prints a table, and returns its figures in ms and requests per second."""
    with (
        running_services.null_model_server() as model_url,
        running_services.service("web", "worker", env={"TF_SERVING_URL": f"{model_url}/v2"}) as own,
    ):
        turns = list(_turns(own, rounds=rounds, seconds=seconds, clients=clients))
    figures = {
        "accepted": statistics.median(turn.accepted.rate for turn in turns),
        "post_p50_ms": statistics.median(turn.accepted.p50_ms for turn in turns),
        "post_p95_ms": statistics.median(turn.accepted.p95_ms for turn in turns),
        "post_cpu_ms": statistics.median(turn.accepted.cpu_ms["web"] for turn in turns),
        "drained": statistics.median(turn.drained for turn in turns),
        "task_cpu_ms": statistics.median(turn.cpu_ms["worker"] for turn in turns),
    }
    post = ["POST (web)", figures["accepted"], figures["post_cpu_ms"], figures["post_p50_ms"], figures["post_p95_ms"]]
    task = ["task (worker)", figures["drained"], figures["task_cpu_ms"]]
    print(f"\nv1, null model server, {clients} clients, {rounds} rounds of {seconds:g} s, medians")
    rows = [[str(row[0]), *(f"{value:.1f}" for value in row[1:])] for row in (post, task)]
    print(table(["", "inferences/s", "CPU ms", "p50 ms", "p95 ms"], [[*row, "", ""][:5] for row in rows]))
    return figures


def measure_drain(*, rounds: int = 5, seconds: float = 5, clients: int = 8) -> dict[str, float]:
    """Measure how fast a full queue drains with lite0, compared with onnxruntime alone on the same cores, in turns."""
    figures: dict[str, float] = {}
    for precision in model_server.PRECISIONS:
        models_dir = model_server.build(precision)
        alone = {
            f"onnxruntime alone, runs of {images}": model_server.in_process(models_dir, images=images)
            for images in (model_server.BATCH, 1)
        }
        for run in alone.values():
            run(1)  # fills caches
        rates: dict[str, list[float]] = {name: [] for name in (DRAINED, *alone, WITH_DECODING)}
        with (
            model_server.started(models_dir) as (url, model_pid),
            running_services.service("web", "worker", env={"TF_SERVING_URL": url.partition("/v1/")[0] + "/v2"}) as own,
        ):
            turns = []
            for turn in _turns(own, rounds=rounds, seconds=seconds, clients=clients, more={"model server": model_pid}):
                turns.append(turn)
                rates[DRAINED].append(turn.drained)
                for name, run in alone.items():
                    rates[name].append(run(seconds))
                # As if each image were decoded, cropped, and resized by the same two cores, and nothing else were done.
                rate = max(rates[name][-1] for name in alone)
                rates[WITH_DECODING].append(1 / (1 / rate + _decoding_s() / model_server.CORES))
        print(f"\nv1, {model_server.NAME}, {precision}, {rounds} rounds, medians")
        print(rates_table(rates))
        spent = {name: statistics.median(turn.cpu_ms[name] for turn in turns) for name in turns[0].cpu_ms}
        print("CPU ms of an inference: " + ", ".join(f"{name} {ms:.2f}" for name, ms in spent.items()))
        figures |= {f"{precision}: {name}": statistics.median(each) for name, each in rates.items()}
    return figures


@dataclass(frozen=True)
class _Turn:
    accepted: load.Load
    drained: float
    """Inferences per second."""
    cpu_ms: dict[str, float]
    """CPU time per drained inference, by service."""


def _turns(
    own: Services, *, rounds: int, seconds: float, clients: int, more: Mapping[str, int] | None = None
) -> Iterator[_Turn]:
    services = {name: own.pid(name) for name in ("worker", "postgres", "redis")} | dict(more or {})
    _fill_and_drain(own, services, seconds=1, clients=clients)  # fills caches and pools
    for _ in range(rounds):
        yield _fill_and_drain(own, services, seconds=seconds, clients=clients)


def _fill_and_drain(own: Services, services: Mapping[str, int], *, seconds: float, clients: int) -> _Turn:
    """Stop the worker with a signal while requests are accepted, so that each phase has the whole machine."""
    url = f"http://127.0.0.1:{own.env['WEB_PORT']}"
    halted = load.tree(own.pid("worker"))
    for process in halted:
        process.suspend()
    accepted = load.post(
        url,
        running_services.photo_request(url, PATH, photo()),
        clients=clients,
        seconds=seconds,
        services={"web": own.pid("web")},
        check=lambda status, _: status == 201,
    )
    # One connection for all queries, because connecting costs 10 ms of CPU.
    with closing(psycopg2.connect(own.env["DATABASE_URL"])) as database:
        database.autocommit = True
        before, start = {name: load.cpu_s(pid) for name, pid in services.items()}, time.perf_counter()
        for process in halted:
            process.resume()
        wait_until_drained(own, database)
        elapsed = time.perf_counter() - start
    spent = {name: (load.cpu_s(pid) - before[name]) / accepted.requests * 1e3 for name, pid in services.items()}
    return _Turn(accepted, accepted.requests / elapsed, spent)


def _decoding_s(repeat: int = 50) -> float:
    """Return the CPU time to decode, crop, and resize the photo."""
    data = photo()
    start = time.thread_time()
    for _ in range(repeat):
        image = Image.open(io.BytesIO(data)).convert("RGB")
        pixels.fit(image, (model_server.SIZE, model_server.SIZE), Declaration())
    return (time.thread_time() - start) / repeat


def wait_until_drained(own: Services, database: psycopg2.extensions.connection) -> None:
    """Wait until every row is final. Raises RuntimeError after DRAIN_TIMEOUT_S."""
    if not poll(lambda: _is_drained(database), DRAIN_TIMEOUT_S):
        raise RuntimeError(f"the queue is not empty after {DRAIN_TIMEOUT_S} s; see {own.log('worker')}")


def _is_drained(database: psycopg2.extensions.connection) -> bool:
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT NOT EXISTS (SELECT FROM classification_inference WHERE status IN ('pending', 'processing'))"
        )
        (is_drained,) = cursor.fetchone() or (False,)
        return bool(is_drained)
