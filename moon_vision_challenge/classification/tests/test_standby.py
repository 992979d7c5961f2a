"""A worker whose Redis takes no messages."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from django.conf import settings
from redis import Redis

from moon_vision_challenge.classification.queue import broker
from moon_vision_challenge.classification.queue.standby import Standby
from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for

pytestmark = pytest.mark.django_db  # the service runs on the database of the tests


@contextmanager
def memory_limit() -> Iterator[None]:
    """Redis answers, and refuses every write."""
    with Redis.from_url(settings.REDIS_URL) as redis:
        redis.config_set("maxmemory", 1)
        try:
            yield
        finally:
            redis.config_set("maxmemory", 0)


@contextmanager
def killed_redis(service: Service) -> Iterator[None]:
    service.services.kill("redis")
    try:
        yield
    finally:
        service.services.start("redis")
        service.services.wait_until_ready("redis", timeout_s=LIMIT_S)


def children(service: Service) -> list[psutil.Process]:
    worker = psutil.Process(service.services.pid("worker"))
    return [child for child in worker.children() if child.status() != "zombie" and "work_off" in child.cmdline()]


def test_redis_at_its_memory_limit_takes_no_messages() -> None:
    assert broker.takes_messages()
    with memory_limit():
        assert not broker.takes_messages()


@pytest.mark.e2e
def test_a_worker_continues_from_the_database_while_redis_is_full(service: Service) -> None:
    service.start("worker")
    with memory_limit():
        created = service.post("v1")
        assert created.status_code == 201
        assert service.wait_for(created, "done")["label"] == "espresso"
    wait_for(lambda: not children(service), "the end of the child, as Redis takes messages")
    assert service.wait_for(service.post("v1"), "done")["status"] == "done"


@pytest.mark.e2e
def test_a_worker_that_fetches_a_message_from_a_full_redis_does_not_end(service: Service) -> None:
    created = service.post("v1")
    with memory_limit():
        service.services.start("worker", service.environment)  # it is not ready before there is room
        service.wait_for(created, "done")
        service.services.check()  # raises if it has ended
    assert service.wait_for(service.post("v1"), "done")["status"] == "done"


@pytest.mark.e2e
def test_a_worker_continues_from_the_database_while_redis_is_down(service: Service) -> None:
    service.start("worker")
    with killed_redis(service):
        created = service.post("v1")
        assert created.status_code == 201
        assert service.wait_for(created, "done")["label"] == "espresso"
    wait_for(lambda: not children(service), "the end of the child, as Redis takes messages")
    assert service.wait_for(service.post("v1"), "done")["status"] == "done"


@pytest.mark.e2e
def test_a_worker_that_stops_takes_its_child_with_it(service: Service) -> None:
    service.start("worker")
    with memory_limit():
        wait_for(lambda: children(service) != [], "the child")
        (child,) = children(service)
        service.services.stop("worker")
        assert not child.is_running()


def test_one_child_runs_at_a_time_and_none_while_redis_takes_messages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = []

    class Child(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **options: int) -> None:
            started.append(command[2:])
            super().__init__([sys.executable, "-c", "import time; time.sleep(600)"], **options)  # type: ignore[call-overload]

    def is_working(standby: Standby) -> bool:
        checks.append(1)
        return was_working(standby)

    checks: list[int] = []
    was_working = Standby._is_working
    monkeypatch.setattr(Standby, "_is_working", is_working)
    monkeypatch.setattr(subprocess, "Popen", Child)
    answers = iter([True, False, True, False, False])
    standby = Standby(["inferences", "slow"], check_every_s=0.01, takes_messages=lambda: next(answers, False))
    standby.start()
    wait_for(lambda: started != [], "the child")
    checks.clear()
    wait_for(lambda: len(checks) > 10, "ten more checks, which would start ten more")
    standby.stop()
    standby.join()
    assert started == [["work_off", f"--parent={os.getpid()}", "inferences", "slow"]]
