"""`python -m chaos.outages`: what each neighbour's failure costs clients, in status codes and seconds.

All services run as in `make run`, with separate data in .run/outages. PostgreSQL, Redis and the model server are
each behind a proxy, so that they can be slow or wrong; to be gone they are killed, and to hang they are stopped.
"""

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import requests
from redis import Redis

from bench.table import table
from chaos import faults
from chaos.proxy import Manner, Proxy
from native.environment import ROOT, RUN_DIR, free_public_ports
from native.process import poll
from native.services import ServiceDiedError, Services, running

SETTLE_S = 3
"""After this time of an outage, the service must have noticed it."""
PAUSE_S = 0.1
V0_CLIENTS = 6
"""Enough to hold all threads of a web process. Every other kind of request has one client."""
PHOTO = (ROOT / "samples" / "coffee.jpg").read_bytes()
NAMES = ("web", "worker", "beat")
DISK_BYTES = 64 * 1024 * 1024
URLS = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "model_server": "TF_SERVING_URL"}

Fault = Callable[["Stage"], None]


@dataclass
class Stage:
    """The running services, and how to reach them."""

    services: Services
    proxies: Mapping[str, Proxy]
    disk: Path
    env: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.services.env['WEB_PORT']}"


@dataclass(frozen=True)
class Cell:
    """One way in which one neighbour fails."""

    neighbour: str
    manner: str
    begin: Fault
    end: Fault


@dataclass
class Answers:
    """What one kind of request got during an outage."""

    early: list[tuple[str, float]] = field(default_factory=list)
    late: list[tuple[str, float]] = field(default_factory=list)
    """After SETTLE_S: status and seconds."""

    def __str__(self) -> str:
        codes = "/".join(f"{code}" for code, _ in Counter(code for code, _ in self.late).most_common())
        seconds = [each for _, each in self.late]
        longest = max(each for _, each in self.early + self.late)
        return f"{codes} {statistics.median(seconds) * 1e3:.0f} ms (at most {longest:.1f} s)" if seconds else "none"


def post(url: str, version: str) -> requests.Response:
    return requests.post(
        f"{url}/api/{version}/inferences/",
        data={"model_type": "efficientnet_lite0"},
        files={"image": ("photo.jpg", PHOTO)},
        timeout=60,
    )


def run_cell(stage: Stage, cell: Cell, duration_s: float) -> list[str]:
    """Have the neighbour fail, ask everything meanwhile, and have it come back. Returns a row of the table."""
    rows: list[str] = []
    first = post(stage.url, "v1").json()["id"]

    def create() -> requests.Response:
        response = post(stage.url, "v1")
        if response.status_code == 201:
            rows.append(response.headers["Location"])
        return response

    questions: dict[str, Callable[[], requests.Response]] = {
        "v0": lambda: post(stage.url, "v0"),
        "v1 POST": create,
        "v1 GET": lambda: requests.get(f"{stage.url}/api/v1/inferences/{first}/", timeout=60),
        "livez": partial(requests.get, f"{stage.url}/livez", timeout=60),
        "readyz": partial(requests.get, f"{stage.url}/readyz", timeout=60),
        "status": partial(requests.get, f"{stage.url}/status", timeout=60),
    }
    answers = {name: Answers() for name in questions}
    begin = time.monotonic()
    cell.begin(stage)
    threads = [
        threading.Thread(target=_ask, args=(question, answers[name], begin, duration_s))
        for name, question in questions.items()
        for _ in range(V0_CLIENTS if name == "v0" else 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = sum(_is_done(row) for row in rows) if cell.neighbour != "postgres" else 0
    worker = f"{done} of {len(rows)} done" if rows else "nothing accepted"
    cell.end(stage)
    healed = time.monotonic()
    restarts = 0

    def has_recovered() -> bool:
        nonlocal restarts
        restarts += _restart_what_has_ended(stage)
        return all(map(_is_done, rows)) and _works(stage.url)

    recovered = poll(has_recovered, 120)
    worker += ", and it ended" if restarts else ""
    back = f"{time.monotonic() - healed:.1f} s" if recovered else "not within 120 s"
    return [cell.neighbour, cell.manner, *map(str, answers.values()), worker, back]


def _restart_what_has_ended(stage: Stage) -> bool:
    """As compose and `make run` do. Only a worker may end."""
    try:
        stage.services.check()
    except ServiceDiedError:
        stage.services.kill("worker")
        stage.services.start("worker", stage.env)
        return True
    return False


def _ask(question: Callable[[], requests.Response], answers: Answers, begin: float, duration_s: float) -> None:
    while (at_s := time.monotonic() - begin) < duration_s:
        started = time.monotonic()
        try:
            code = str(question().status_code)
        except requests.RequestException as error:
            code = type(error).__name__
        (answers.early if at_s < SETTLE_S else answers.late).append((code, time.monotonic() - started))
        time.sleep(PAUSE_S)  # between two requests of one client


def _is_done(location: str) -> bool:
    try:
        return bool(requests.get(location, timeout=60).json().get("status") == "done")
    except requests.RequestException:
        return False


def _works(url: str) -> bool:
    try:
        return post(url, "v0").status_code == 200 and post(url, "v1").status_code == 201
    except requests.RequestException:
        return False


def _set(name: str, manner: Manner) -> Fault:
    return lambda stage: stage.proxies[name].set(manner)


def _strike(action: Callable[[Services, str], None], name: str) -> Fault:
    return lambda stage: action(stage.services, name)


def _limit_memory(limit: int) -> Fault:
    def set_limit(stage: Stage) -> None:
        with Redis.from_url(stage.services.env["REDIS_URL"], socket_timeout=5) as client:
            client.config_set("maxmemory", limit)

    return set_limit


def _fill(stage: Stage) -> None:
    free = DISK_BYTES - sum(path.stat().st_size for path in stage.disk.rglob("*") if path.is_file())
    (stage.disk / "filler").write_bytes(b"\0" * max(0, free - 64 * 1024))


def _unfill(stage: Stage) -> None:
    (stage.disk / "filler").unlink()


def _remount(option: str) -> Fault:
    def remount(stage: Stage) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(stage.disk)], check=True)

    return remount


def cells(*, has_disk: bool) -> Iterator[Cell]:
    for name in URLS:
        yield Cell(name, "gone", _strike(faults.kill, name), _strike(faults.start, name))
        yield Cell(name, "hangs", _strike(faults.halt, name), _strike(faults.resume, name))
        yield Cell(name, "slow", _set(name, Manner.SLOW), _set(name, Manner.SOUND))
        yield Cell(name, "wrong", _set(name, Manner.WRONG), _set(name, Manner.SOUND))
    yield Cell("redis", "full", _limit_memory(1), _limit_memory(0))
    if has_disk:
        yield Cell("disk", "full", _fill, _unfill)
        yield Cell("disk", "read-only", _remount("ro"), _remount("rw"))


@contextmanager
def staged() -> Iterator[tuple[Stage, bool]]:
    own = dict.fromkeys(URLS.values(), "") | free_public_ports()
    with ExitStack() as stack:
        services = stack.enter_context(running(list(URLS), run_dir=RUN_DIR / "outages", env=own))
        for command in (["migrate", "-v0"], ["flush", "--no-input", "-v0"]):  # the files of earlier rows are gone
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=services.env, check=True)
        env, proxies = {"API_ANON_RATE": "1000000/s", "MEDIA_MIN_FREE_BYTES": "131072", "INFERENCE_SWEEP_S": "5"}, {}
        for name, variable in URLS.items():
            url = urlsplit(services.env[variable])
            proxies[name] = stack.enter_context(Proxy("127.0.0.1", url.port or 0))
            env[variable] = services.env[variable].replace(f":{url.port}", f":{proxies[name].port}")
        disk = RUN_DIR / "outages" / "disk"
        disk.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)]
        has_disk = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        if has_disk:
            stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=True)
        env["DJANGO_MEDIA_ROOT"] = str(disk if has_disk else RUN_DIR / "outages" / "media")
        for name in NAMES:
            services.start(name, env)
        services.wait_until_ready(*NAMES)
        yield Stage(services, proxies, disk, env), has_disk


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.outages", description="Measures what an outage costs.")
    parser.add_argument("--seconds", type=float, default=20, help="how long each outage lasts (default: 20)")
    parser.add_argument("--only", default="", help="a neighbour, or a neighbour and a manner, such as redis:full")
    options = parser.parse_args()
    rows = []
    with staged() as (stage, has_disk):
        for cell in cells(has_disk=has_disk):
            if f"{cell.neighbour}:{cell.manner}".startswith(options.only):
                rows.append(run_cell(stage, cell, options.seconds))
                print(" | ".join(rows[-1]), flush=True)
        if not has_disk:
            print("The disk is not tried: only root may mount one, and not in every container.")
    names = [
        "neighbour",
        "manner",
        "v0",
        "v1 POST",
        "v1 GET",
        "livez",
        "readyz",
        "status",
        "worker",
        "works again after",
    ]
    print("\n" + table(names, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
