#!/usr/bin/env python3
"""Kills, hangs, and restarts each service while photos are posted, and prints what failed. Needs Docker.

neighbours.py FILE BASE_URL [SERVICE...]     FILE: the compose file of the running services

Exits 1 if an inference that v1 accepted is not done in the end, or v0 fails because of a service that it does not need.
"""

import argparse
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import smoke

SERVICES = ["tensorflow-serving", "postgres", "redis", "celeryworker", "webhookworker", "celerybeat", "metrics"]
NEEDED_BY_V0 = {"tensorflow-serving"}
HANG_S = 15.0
AFTERWARDS = 20
"""How many requests must succeed after the service is healthy again."""
TIMEOUT_S = 300


@dataclass
class Load:
    """Posts photos one after another until it is stopped."""

    url: str
    wanted: int
    stop: threading.Event
    results: Counter[str] = field(default_factory=Counter)
    ids: list[int] = field(default_factory=list)
    longest_s: float = 0.0
    in_a_row: int = 0

    def run(self) -> None:
        while not self.stop.is_set():
            began = time.monotonic()
            status: int | str
            try:
                status, body = smoke.post_photo(self.url)
            except OSError as error:
                status, body = type(error).__name__, {}
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            self.results[str(status)] += 1
            self.in_a_row = self.in_a_row + 1 if status == self.wanted else 0
            if status == self.wanted and "id" in body:
                self.ids.append(body["id"])

    def describe(self) -> str:
        failed = {status: count for status, count in self.results.items() if status != str(self.wanted)}
        total = sum(failed.values())
        reasons = ", ".join(f"{count} x {status}" for status, count in failed.items())
        return f"{self.results.total()} | {total}{f' ({reasons})' if reasons else ''} | {self.longest_s:.1f}"


def docker(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], check=True, capture_output=True, text=True, timeout=TIMEOUT_S
    ).stdout.strip()


def kill(container: str) -> None:
    docker("kill", container)
    docker("start", container)


def hang(container: str) -> None:
    docker("pause", container)
    time.sleep(HANG_S)  # the fault itself
    docker("unpause", container)


def restart(container: str) -> None:
    docker("restart", container)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"FAILED {what}: not within {TIMEOUT_S} s")
        time.sleep(0.2)  # between two checks


def is_healthy(container: str) -> bool:
    return docker("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy"


def try_fault(fault: Callable[[str], None], container: str, base_url: str) -> tuple[Load, Load]:
    stop = threading.Event()
    loads = [Load(f"{base_url}/api/{name}/inferences/", wanted, stop) for name, wanted in (("v0", 200), ("v1", 201))]
    threads = [threading.Thread(target=load.run) for load in loads]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(load.in_a_row >= 3 for load in loads), "photos are answered before the fault")
        fault(container)
        wait_until(lambda: is_healthy(container), f"{container} is healthy")
        for load in loads:
            load.in_a_row = 0
        wait_until(lambda: all(load.in_a_row >= AFTERWARDS for load in loads), "photos are answered after the fault")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    smoke.wait_for(loads[1].url, loads[1].ids)
    return loads[0], loads[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("base_url")
    parser.add_argument("services", nargs="*")
    arguments = parser.parse_args()
    print("service | fault | v0 sent | failed | longest s | v1 sent | failed | longest s | accepted, then done")
    for service in arguments.services or SERVICES:
        container = docker("compose", "--file", str(arguments.file), "ps", "--quiet", service).splitlines()[0]
        for fault in (kill, hang, restart):
            v0, v1 = try_fault(fault, container, arguments.base_url.rstrip("/"))
            done = f"{len(v1.ids)} of {len(v1.ids)}"
            print(f"{service} | {fault.__name__} | {v0.describe()} | {v1.describe()} | {done}", flush=True)
            if service not in NEEDED_BY_V0:
                smoke.expect(f"v0 needs no {service}", set(v0.results), {"200"})


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
