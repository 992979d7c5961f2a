import os
import signal
import time
from pathlib import Path

import psutil
import psycopg2
import pytest

from native import logs, postgres, supervisor
from native.environment import CannotRunError
from native.process import group_members, hold_folder, is_alive, locked, poll
from native.services import ServiceDiedError, Services, running
from native.supervisor import Supervisor

from .conftest import LIMIT_S, NO_FSYNC, PROCFILE
from .processes import command_of


def look_after_until(supervised: Supervisor, services: Services, name: str, old: int) -> None:
    """Supervise until the service runs again under a new process id."""

    def runs_again() -> bool:
        supervised.look_after()
        return name not in services.dead() and services.is_running(name) and services.pid(name) != old

    assert poll(runs_again, LIMIT_S)


def look_after_until_it_ends(supervised: Supervisor) -> None:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        supervised.look_after()


def test_a_killed_service_starts_again_and_one_line_says_so(run_dir: Path) -> None:
    said: list[str] = []
    with running(["calm"], run_dir=run_dir, procfile=PROCFILE) as services:
        supervised = Supervisor(services, said.append)
        for delay_s in ("0.5", "1"):
            old = services.pid("calm")
            os.kill(old, signal.SIGKILL)
            look_after_until(supervised, services, "calm", old)
            assert said.pop() == (
                f"The service calm was killed by SIGKILL. It restarts in {delay_s} s. Its log: {services.log('calm')}.1"
            )
        assert said == []


def test_the_delay_is_short_again_after_a_calm_time(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PERIOD_S", 0.1)
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.2)
    said: list[str] = []
    with running(["calm"], run_dir=run_dir, procfile=PROCFILE) as services:
        supervised = Supervisor(services, said.append)
        for _ in range(supervisor.MAX_DEATHS + 1):
            old = services.pid("calm")
            os.kill(old, signal.SIGKILL)
            look_after_until(supervised, services, "calm", old)
    assert all("restarts in 0.2 s" in line for line in said)


def test_a_service_that_keeps_dying_ends_the_run_with_its_last_lines(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_S", 0.01)
    said: list[str] = []
    with running(["calm"], run_dir=run_dir, procfile=PROCFILE) as services:
        services.start("failing")
        supervised = Supervisor(services, said.append)
        with pytest.raises(ServiceDiedError) as death:
            look_after_until_it_ends(supervised)
        calm = services.pid("calm")
    assert len(said) == supervisor.MAX_DEATHS - 1
    assert "The service failing died 5 times within 60 s" in str(death.value)
    assert "exit code 3" in str(death.value)
    assert "the disk is on fire" in str(death.value)
    assert not group_members(calm)


def test_the_children_of_a_dead_service_are_ended_before_it_starts_again(run_dir: Path) -> None:
    with running(["parent"], run_dir=run_dir, procfile=PROCFILE) as services:
        old = services.pid("parent")
        assert poll(lambda: len(group_members(old)) == 3, LIMIT_S)
        os.kill(old, signal.SIGKILL)
        look_after_until(Supervisor(services, print), services, "parent", old)
        assert not group_members(old)


def waits_for(pid: int, folder: Path) -> bool:
    """Return whether the process has opened the lock of this folder, which another one holds."""
    return str(folder / "lock") in [file.path for file in psutil.Process(pid).open_files()]


def test_postgres_waits_for_the_children_of_the_one_that_was_killed(run_dir: Path) -> None:
    with running(["postgres"], run_dir=run_dir, env=NO_FSYNC, procfile=PROCFILE) as services:
        leader = psutil.Process(services.pid("postgres"))
        [checkpointer] = [child for child in leader.children() if "checkpointer" in " ".join(command_of(child))]
        checkpointer.suspend()
        leader.kill()
        assert poll(lambda: services.dead() == ["postgres"], LIMIT_S)
        services.start("postgres")
        assert poll(lambda: waits_for(services.pid("postgres"), postgres.folder(run_dir)), LIMIT_S)
        assert is_alive(checkpointer)
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(services.env["DATABASE_URL"], connect_timeout=5)
        assert services.dead() == []
        checkpointer.kill()
        services.wait_until_ready("postgres")


def test_a_data_folder_that_stays_in_use_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock"),
        pytest.raises(CannotRunError, match=f"Another server still uses the data in {tmp_path}"),
    ):
        hold_folder(tmp_path, timeout_s=0.1)


def test_a_log_that_grows_too_large_is_rotated(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 50_000)
    with running(["calm"], run_dir=run_dir, procfile=PROCFILE) as services:
        supervised = Supervisor(services, print)
        services.start("noisy")

        def is_at_the_end() -> bool:
            supervised.look_after()
            files = [services.log("noisy"), previous]
            return any("99999\n" in file.read_text() for file in files if file.exists())

        previous = services.log("noisy").with_suffix(".log.1")
        assert poll(is_at_the_end, LIMIT_S)
        supervised.look_after()
        assert services.log("noisy").stat().st_size <= logs.MAX_BYTES
        lines = (previous.read_text() + services.log("noisy").read_text()).split()
        assert lines[-1] == "99999"
        assert "\0" not in services.log("noisy").read_text()  # no hole before the service's old offset
