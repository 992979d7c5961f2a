"""A worker whose Redis accepts no messages."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psutil
import pytest
from django.conf import settings
from redis import Redis

from moon_vision_challenge.classification.queue import broker
from moon_vision_challenge.classification.queue.reserve import Reserve
from moon_vision_challenge.classification.queue.standby import Standby
from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from native.tests.processes import command_of

pytestmark = pytest.mark.django_db  # the service runs on the database of the tests


Outage = Callable[[Service], AbstractContextManager[None]]


@contextmanager
def memory_limit(_: Service | None = None) -> Iterator[None]:
    """Make Redis answer, but refuse every write."""
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
    """Return the pool's processes and the one that works without Redis."""
    return [each for each in psutil.Process(service.services.pid("worker")).children() if each.status() != "zombie"]


def reserve_of(service: Service) -> psutil.Process:
    """Return the reserve, which is forked before the pool."""
    return min(children(service), key=psutil.Process.create_time)


def log_of(service: Service) -> str:
    return service.services.log("worker").read_text()


def classifies_by_messages(service: Service) -> None:
    service.start("beat")  # until web notices that Redis is back, it leaves its messages to the sweep
    assert service.wait_for(service.post("v1"), "done")["status"] == "done"


def test_redis_at_its_memory_limit_takes_no_messages() -> None:
    assert broker.takes_messages()
    with memory_limit():
        assert not broker.takes_messages()


@pytest.mark.e2e
@pytest.mark.parametrize("outage", [memory_limit, killed_redis], ids=["full", "down"])
def test_a_worker_continues_from_the_database_without_redis(service: Service, outage: Outage) -> None:
    service.start("worker")
    with outage(service):
        created = service.post("v1")
        assert created.status_code == 201
        assert service.wait_for(created, "done")["label"] == "espresso"
    wait_for(lambda: "Redis accepts messages again" in log_of(service), "the end of its work without Redis")
    classifies_by_messages(service)


@pytest.mark.e2e
def test_a_worker_that_fetches_a_message_from_a_full_redis_does_not_end(service: Service) -> None:
    created = service.post("v1")
    with memory_limit():
        service.services.start("worker", service.environment)  # it is not ready until there is room
        service.wait_for(created, "done")
        service.services.check()  # raises if it has ended
    classifies_by_messages(service)


@pytest.mark.e2e
def test_a_second_outage_is_bridged_too(service: Service) -> None:
    service.start("worker")
    for number in (1, 2):
        with memory_limit():
            assert service.wait_for(service.post("v1"), "done")["label"] == "espresso"
        wait_for(lambda: log_of(service).count("Redis accepts messages again") == number, "the end of its work")  # noqa: B023


@pytest.mark.e2e
def test_a_worker_that_stops_takes_its_child_with_it(service: Service) -> None:
    service.start("worker")
    with memory_limit():
        assert service.wait_for(service.post("v1"), "done")["status"] == "done"
        before = children(service)
        service.services.stop("worker")
        assert not any(child.is_running() for child in before)


@pytest.mark.e2e
def test_a_worker_whose_reserve_was_killed_starts_another_process(service: Service) -> None:
    service.start("worker")
    reserve_of(service).kill()
    with memory_limit():
        assert service.wait_for(service.post("v1"), "done")["label"] == "espresso"
        assert any("drain_queues" in command_of(child) for child in children(service))


class FakeReserve(Reserve):
    """A reserve that keeps working once it starts, or cannot start."""

    def __init__(self, *, can_go: bool) -> None:
        self.can_go = can_go
        self.went = 0

    def go(self) -> bool:
        self.went += self.can_go
        return self.can_go

    def is_working(self) -> bool:
        return self.went > 0

    def stop(self) -> None:
        pass

    def join(self) -> None:
        pass


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that the standby has started."""
    commands: list[list[str]] = []

    class Child(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **options: int) -> None:
            commands.append(command[2:])
            super().__init__([sys.executable, "-c", "import time; time.sleep(600)"], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", Child)
    return commands


class CountingStandby(Standby):
    checks = 0

    def _is_working(self) -> bool:
        self.checks += 1
        return super()._is_working()


def run_until(done: Callable[[], bool], reserve: Reserve) -> None:
    """Run a standby whose Redis accepts messages only once. After `done`, ten more checks would start ten processes."""
    answers = iter([True])
    asked: list[None] = []

    def takes_messages() -> bool:
        asked.append(None)
        return next(answers, False)

    standby = CountingStandby(["inferences", "slow"], reserve, check_every_s=0.01, takes_messages=takes_messages)
    standby.start()
    wait_for(done, "the child")
    enough = standby.checks + 10
    wait_for(lambda: standby.checks > enough, "ten more checks")
    standby.stop()
    standby.join()
    assert len(asked) == 2  # Redis is not queried while a process works


def test_the_reserve_goes_once_and_no_other_process_starts(started: list[list[str]]) -> None:
    reserve = FakeReserve(can_go=True)
    run_until(lambda: reserve.went > 0, reserve)
    assert (reserve.went, started) == (1, [])


def test_one_process_starts_if_the_reserve_has_ended(started: list[list[str]]) -> None:
    run_until(lambda: started != [], FakeReserve(can_go=False))
    assert started == [["drain_queues", f"--parent={os.getpid()}", "inferences", "slow"]]
