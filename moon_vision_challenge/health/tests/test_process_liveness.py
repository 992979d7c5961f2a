"""A liveness probe must fail only where a restart helps."""

import os
from pathlib import Path

import pytest

from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.health.process_liveness import ProcessLiveness


class Machine:
    """The environment of a worker or of beat, whose clock a test moves."""

    def __init__(self, file: Path) -> None:
        self.now, self.redis_is_up, self.asked = 1000.0, True, 0
        self.file = file
        self.liveness = ProcessLiveness(file, takes_messages=self._takes_messages, clock=lambda: self.now)

    def is_alive_after(self, seconds: float) -> bool:
        """Return whether a check, this much later, touches the file."""
        self.now += seconds
        if self.file.exists():
            os.utime(self.file, (0, 0))
        self.liveness.check()
        return self.file.exists() and self.file.stat().st_mtime > 0

    def _takes_messages(self) -> bool:
        self.asked += 1
        return self.redis_is_up


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "alive")


def test_a_worker_that_starts_is_alive(machine: Machine) -> None:
    assert machine.is_alive_after(0)


def test_a_worker_with_heartbeats_is_alive_without_a_question_to_redis(machine: Machine) -> None:
    for _ in range(100):
        machine.liveness.note_sent()
        assert machine.is_alive_after(10)
    assert machine.asked == 0


def test_a_worker_without_redis_is_alive_for_hours(machine: Machine) -> None:
    machine.redis_is_up = False
    assert all(machine.is_alive_after(10) for _ in range(2000))


def test_a_worker_has_time_to_connect_when_redis_is_back(machine: Machine) -> None:
    machine.redis_is_up = False
    assert machine.is_alive_after(3600)
    machine.redis_is_up = True
    assert machine.is_alive_after(120)
    machine.liveness.note_sent()
    assert machine.is_alive_after(120)


def test_a_worker_that_ignores_redis_is_not_alive(machine: Machine) -> None:
    assert not machine.is_alive_after(200)
    machine.liveness.note_sent()
    assert machine.is_alive_after(10)


@pytest.mark.e2e
@pytest.mark.parametrize("name", ["worker", "webhook_worker", "beat"])
def test_a_real_process_is_alive_while_redis_is_down(name: str, service: Service, tmp_path: Path) -> None:
    file = tmp_path / "alive"
    service.start(name, LIVENESS_FILE=str(file))
    service.services.kill("redis")
    try:
        for _ in range(5):  # for longer than a process may be quiet
            file.unlink(missing_ok=True)
            wait_for(file.exists, "a sign of life")
    finally:
        service.services.start("redis")
        service.services.wait_until_ready("redis", timeout_s=LIMIT_S)
