"""Measures v0 and v1 without the result cache, with it and new photos, and with it and the same photo again."""

import itertools
import statistics
import time
from collections.abc import Callable
from contextlib import closing

import psycopg2

from native.services import Services

from . import load, model_server, running_services, v0, v1
from .photo import photo
from .table import table

_PLACE = b"0123456789abcdef"
"""The bytes after the image in the file. Each new photo has another number there, but the same pixels."""
STATES = ("off", "on, miss", "on, hit")


def measure(*, rounds: int = 5, seconds: float = 5, clients: int = 8) -> dict[str, float]:
    """Measure with lite0 in int8. Prints a table, and returns the CPU ms of each kind of request.

    The web server and the worker restart for each state, because the cache is on or off for a whole process.
    """
    models_dir = model_server.build("int8")
    found: dict[str, list[load.Load]] = {}
    with (
        model_server.started(models_dir) as (model_url, model_pid),
        running_services.service(env={"TF_SERVING_URL": model_url.partition("/v1/")[0] + "/v2"}) as own,
    ):
        for _ in range(rounds):
            for state in STATES:
                env = {"RESULT_CACHE_TTL_S": "0" if state == "off" else "3600"}
                for name in ("web", "worker"):
                    own.start(name, env)
                own.wait_until_ready("web", "worker")
                for path in (v0.PATH, v1.PATH):
                    request = _requests(own, path, is_new=state != "on, hit")
                    # The first second fills caches, including the result cache.
                    _post(own, path, request, model_pid, seconds=1, clients=clients)
                    done = _post(own, path, request, model_pid, seconds=seconds, clients=clients)
                    found.setdefault(f"{path.split('/')[2]}, {state}", []).append(done)
                own.stop("web", "worker")
    print(f"\n{model_server.NAME}, int8, {clients} clients, {rounds} rounds of {seconds:g} s in turns, medians")
    print(_table(found))
    return {name: _cpu_ms(loads) for name, loads in found.items()}


def _requests(own: Services, path: str, *, is_new: bool) -> Callable[[], bytes]:
    url = f"http://127.0.0.1:{own.env['WEB_PORT']}"
    before, _, after = running_services.photo_request(url, path, photo() + _PLACE).partition(_PLACE)
    numbers = itertools.count(time.time_ns()) if is_new else itertools.repeat(0)
    return lambda: before + b"%016x" % next(numbers) + after


def _post(
    own: Services, path: str, request: Callable[[], bytes], model_pid: int, *, seconds: float, clients: int
) -> load.Load:
    """Post requests. The rate and the CPU time of v1 include the worker, until all rows are done."""
    services = {"web": own.pid("web"), "worker": own.pid("worker"), "model server": model_pid}
    before, begin = {name: load.cpu_s(pid) for name, pid in services.items()}, time.perf_counter()
    url, status = f"http://127.0.0.1:{own.env['WEB_PORT']}", 200 if path == v0.PATH else 201
    done = load.post(
        url, request, clients=clients, seconds=seconds, services={}, check=lambda found, _: found == status
    )
    with closing(psycopg2.connect(own.env["DATABASE_URL"])) as database:
        database.autocommit = True
        v1.wait_until_drained(own, database)
    spent = {name: (load.cpu_s(pid) - before[name]) / done.requests * 1e3 for name, pid in services.items()}
    return load.Load(
        **{**vars(done), "rate": done.requests / (time.perf_counter() - begin), "cpu_ms": spent},
    )


def _cpu_ms(loads: list[load.Load]) -> float:
    return statistics.median(sum(each.cpu_ms.values()) for each in loads)


def _table(found: dict[str, list[load.Load]]) -> str:
    parts = [*next(iter(found.values()))[0].cpu_ms]
    rows = [
        [
            name,
            f"{statistics.median(each.rate for each in loads):.0f}",
            f"{_cpu_ms(loads):.1f}",
            *(f"{statistics.median(each.cpu_ms[part] for each in loads):.1f}" for part in parts),
            f"{statistics.median(each.p50_ms for each in loads):.0f}",
            f"{statistics.median(each.p95_ms for each in loads):.0f}",
        ]
        for name, loads in found.items()
    ]
    return table(["", "requests/s", "CPU ms", *parts, "p50 ms", "p95 ms"], rows)
