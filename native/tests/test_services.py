import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from native.environment import ROOT, CannotRunError
from native.process import ProcessGroups, group_members, is_alive, poll
from native.services import ServiceDiedError, Services, prepared, running

from .conftest import LIMIT_S, PROCFILE

RUNNER = """
import signal, sys, time
from pathlib import Path
from native import services
from native.services import running
services.STOP_TIMEOUT_S = 1
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
with running(sys.argv[3:], run_dir=Path(sys.argv[1]), procfile=Path(sys.argv[2])) as services:
    print(*(services.pid(name) for name in sys.argv[3:]), flush=True)
    while True:
        services.check()
        time.sleep(0.05)
"""


def start_runner(run_dir: Path, *names: str) -> tuple[subprocess.Popen[str], list[int]]:
    """Run services in a separate process, which tests may end in any way. Returns it and the services' groups."""
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(run_dir), str(PROCFILE), *names],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert runner.stdout
    return runner, [int(pid) for pid in runner.stdout.readline().split()]


def wait_for_line(services: Services, name: str) -> None:
    services.wait_until(lambda: b"\n" in services.log(name).read_bytes(), name, timeout_s=LIMIT_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_process_is_left_when_the_runner_is_asked_to_stop(run_dir: Path, number: signal.Signals) -> None:
    runner, groups = start_runner(run_dir, "calm", "parent", "redis")
    assert all(group_members(group) for group in groups)
    runner.send_signal(number)
    runner.communicate(timeout=LIMIT_S)
    assert not any(group_members(group) for group in groups)


def test_a_second_ctrl_c_does_not_keep_a_service_running(run_dir: Path) -> None:
    runner, groups = start_runner(run_dir, "stubborn", "parent")
    for _ in range(3):
        runner.send_signal(signal.SIGINT)
        time.sleep(0.2)
    runner.communicate(timeout=LIMIT_S)
    assert not any(group_members(group) for group in groups)


@pytest.mark.parametrize("name", ["stubborn", "heavy"])  # the kernel needs some time to free heavy's memory
def test_a_service_that_ignores_the_stop_signal_is_killed_and_waited_for(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("native.services.STOP_TIMEOUT_S", 0.1)
    with running([name], run_dir=run_dir, procfile=PROCFILE) as services:
        wait_for_line(services, name)
        group = services.pid(name)
    assert not group_members(group)


@pytest.mark.parametrize("end", [Services.stop, Services.kill])
def test_a_child_in_a_separate_session_ends_too(run_dir: Path, end: Callable[[Services, str], None]) -> None:
    with running(["runaway"], run_dir=run_dir, procfile=PROCFILE) as services:
        wait_for_line(services, "runaway")
        child = psutil.Process(int(services.log("runaway").read_text()))
        assert is_alive(child)
        end(services, "runaway")
        assert not is_alive(child)


def test_services_end_when_the_runner_is_killed(run_dir: Path) -> None:
    runner, groups = start_runner(run_dir, "calm", "redis", "postgres")
    runner.kill()
    runner.communicate(timeout=LIMIT_S)
    assert poll(lambda: not any(group_members(group) for group in groups), LIMIT_S)


def test_the_next_run_stops_what_a_killed_runner_left_behind(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("native.process.STOP_TIMEOUT_S", 0.3)
    runner, (group,) = start_runner(run_dir, "stubborn")
    assert poll(lambda: (run_dir / "logs" / "stubborn.log").stat().st_size > 0, LIMIT_S)  # its trap is set
    runner.kill()
    runner.communicate(timeout=LIMIT_S)
    assert group_members(group)
    with prepared(run_dir, os.environ, procfile=PROCFILE) as services:
        assert services.leftovers == [group]
        assert not group_members(group)


def test_a_process_that_only_bears_the_number_of_an_old_one_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:
        groups = ProcessGroups(tmp_path / "processes.json")
        groups.add(stranger.pid)
        recorded = (tmp_path / "processes.json").read_text()
        started = str(psutil.Process(stranger.pid).create_time())
        (tmp_path / "processes.json").write_text(recorded.replace(started, "1.5"))
        assert groups.stop_leftovers() == []
        assert stranger.poll() is None
        stranger.kill()


def test_a_second_run_in_the_same_folder_is_refused(run_dir: Path) -> None:
    with (
        running([], run_dir=run_dir, procfile=PROCFILE),
        pytest.raises(CannotRunError, match=rf"already running \(process {os.getpid()}\)"),
        running([], run_dir=run_dir, procfile=PROCFILE),
    ):
        pytest.fail("the second run was let in")


def test_the_death_of_a_service_is_reported_with_its_exit_code_and_last_lines(run_dir: Path) -> None:
    with running(["calm"], run_dir=run_dir, procfile=PROCFILE) as services:
        group = services.pid("calm")
        services.start("failing")
        with pytest.raises(ServiceDiedError) as death:
            services.wait_until(lambda: False, "nothing", timeout_s=LIMIT_S)
        assert "The service failing ended with exit code 3" in str(death.value)
        assert "the disk is on fire" in str(death.value)
        assert str(services.log("failing")) in str(death.value)
    assert not group_members(group)


def test_a_killed_service_is_reported_with_the_name_of_the_signal(run_dir: Path) -> None:
    with running(["calm"], run_dir=run_dir, procfile=PROCFILE) as services:
        os.kill(services.pid("calm"), signal.SIGKILL)
        with pytest.raises(ServiceDiedError, match="The service calm was killed by SIGKILL"):
            services.wait_until(lambda: False, "nothing", timeout_s=LIMIT_S)


def test_a_wait_without_a_result_ends_at_its_deadline(run_dir: Path) -> None:
    with (
        running(["calm"], run_dir=run_dir, procfile=PROCFILE) as services,
        pytest.raises(CannotRunError, match="Gave up waiting for the moon"),
    ):
        services.wait_until(lambda: False, "the moon", timeout_s=0.1)


def test_each_start_has_a_new_log_and_the_one_before_is_kept(run_dir: Path) -> None:
    with running(["calm"], run_dir=run_dir, procfile=PROCFILE) as services:
        wait_for_line(services, "calm")
        services.restart("calm", env={"WORD": "again"})
        wait_for_line(services, "calm")
        assert services.log("calm").read_text() == "started\n"
        assert services.log("calm").with_name("calm.log.1").read_text() == "started\n"


def test_lines_are_printed_with_the_name_of_the_service(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with prepared(run_dir, os.environ, procfile=PROCFILE, echo=True) as services:
        services.start("calm")
        wait_for_line(services, "calm")
        services.check()
    assert "calm     | started" in capsys.readouterr().out
