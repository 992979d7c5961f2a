"""The faults that hit the services, their times, and how the services recover."""

import heapq
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import psutil
from redis import Redis

from bench import load
from native import readiness
from native.process import STOP_TIMEOUT_S, poll
from native.services import Services

LEASE_S = 6
SWEEP_S = 2
READY_POLL_S = 0.2


@dataclass(frozen=True)
class Kind:
    """One kind of fault: how it strikes a service, and how the service recovers."""

    service: str
    what: str
    strike: Callable[[Services, str], None]
    heal: Callable[[Services, str], None]
    pause_s: tuple[float, float] = (0.3, 3.0)
    """The shortest and the longest time until the fault is healed."""
    when_ready: bool = False
    """Whether the fault waits until the service is ready."""


@dataclass(frozen=True)
class Fault:
    """A fault that strikes `at_s` seconds after the start, and is healed `pause_s` seconds later."""

    kind: Kind
    at_s: float
    pause_s: float


def kill(services: Services, name: str) -> None:
    """Kill -9 all processes of a service, as if its container died. PostgreSQL's are not in its process group."""
    family = load.tree(services.pid(name))
    services.kill(name)
    _kill_all(family)


def _kill_child(services: Services, name: str) -> None:
    """Kill one process, as the kernel does when memory is short."""
    _kill_all(load.tree(services.pid(name))[1:2])


def _kill_all(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        if process.is_running():
            process.kill()
    psutil.wait_procs(processes, timeout=STOP_TIMEOUT_S)


def halt(services: Services, name: str) -> None:
    """Make a service hang: its connections stay open, but it does not answer."""
    for process in load.tree(services.pid(name)):
        process.suspend()


def resume(services: Services, name: str) -> None:
    for process in load.tree(services.pid(name)):
        process.resume()


def _stop(services: Services, name: str) -> None:
    services.stop(name)


def _stop_immediately(services: Services, name: str) -> None:
    """Shut PostgreSQL down in "immediate" mode: without a checkpoint, so it recovers from its log at the next start."""
    pid = services.pid(name)
    os.kill(pid, signal.SIGQUIT)
    poll(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, STOP_TIMEOUT_S)
    services.kill(name)


def _flush(services: Services, _name: str) -> None:
    with Redis.from_url(services.env["REDIS_URL"], socket_timeout=STOP_TIMEOUT_S) as client:
        client.flushall()


def start(services: Services, name: str) -> None:
    services.start(name)


def _nothing(_services: Services, _name: str) -> None:
    """Do nothing, because the fault heals by itself."""


KINDS = (
    Kind("worker", "kill -9", kill, start),
    Kind("worker", "one of its processes kill -9", _kill_child, _nothing, (0, 0), when_ready=True),
    Kind("worker", "SIGTERM", _stop, start),
    Kind("worker", "hangs beyond its leases", halt, resume, (LEASE_S + SWEEP_S, LEASE_S + 2 * SWEEP_S)),
    Kind("web", "kill -9", kill, start),
    Kind("beat", "kill -9", kill, start),
    Kind("model_server", "kill -9", kill, start),
    Kind("model_server", "hangs", halt, resume),
    Kind("redis", "kill -9", kill, start),
    Kind("redis", "hangs", halt, resume),
    Kind("redis", "FLUSHALL", _flush, _nothing, (0, 0), when_ready=True),
    Kind("postgres", "kill -9", kill, start),
    Kind("postgres", "immediate shutdown", _stop_immediately, start),
    Kind("postgres", "fast shutdown", _stop, start),
)


def plan(rng: random.Random, *, rounds: int) -> list[Fault]:
    """Schedule every kind of fault `rounds` times, in random order. Faults of different services overlap."""
    faults: list[Fault] = []
    at_s = 0.0
    up_since_s: dict[str, float] = {}
    for kind in (kind for _ in range(rounds) for kind in rng.sample(KINDS, len(KINDS))):
        at_s += rng.uniform(1, 3)
        fault = Fault(
            kind, max(at_s, up_since_s.get(kind.service, 0.0) + rng.uniform(0, 2)), rng.uniform(*kind.pause_s)
        )
        up_since_s[kind.service] = fault.at_s + fault.pause_s
        faults.append(fault)
    return faults


def inflict(faults: Sequence[Fault], services: Services) -> list[tuple[Fault, float]]:
    """Make all faults strike and heal at their times.

    Returns each fault with the seconds until its service was restarted or resumed. The service may not be ready yet.
    Raises ServiceDiedError if a service ends without a fault.
    """
    begin = time.monotonic()
    struck: dict[int, float] = {}
    lasted: list[tuple[Fault, float]] = []
    due = [(fault.at_s, number) for number, fault in enumerate(faults)]
    heapq.heapify(due)
    down: set[str] = set()

    def can_strike(kind: Kind) -> bool:
        ready = not kind.when_ready or readiness.is_ready(kind.service, services.env, services.log(kind.service))
        return kind.service not in down and ready

    while due:
        at_s, number = heapq.heappop(due)
        fault = faults[number]
        services.wait_until(partial(_is_past, begin + at_s), "the next fault", at_s + 1)
        name = fault.kind.service
        if number not in struck and not can_strike(fault.kind):
            heapq.heappush(due, (at_s + READY_POLL_S, number))
        elif number not in struck:
            struck[number] = time.monotonic()
            down.add(name)
            fault.kind.strike(services, name)
            heapq.heappush(due, (time.monotonic() - begin + fault.pause_s, number))
        else:
            fault.kind.heal(services, name)
            down.discard(name)
            lasted.append((fault, time.monotonic() - struck[number]))
    return lasted


def _is_past(moment_s: float) -> bool:
    return time.monotonic() >= moment_s
