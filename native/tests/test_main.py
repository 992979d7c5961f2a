"""Tests the runner itself, with all nine services and the real model."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
import requests

from native import sample
from native.__main__ import verdict, who_may_call
from native.environment import ROOT, CannotRunError, free_public_ports
from native.process import group_members, is_alive, poll
from native.sample import Answer

from .conftest import LIMIT_S
from .processes import command_of

START_TIMEOUT_S = 300


@contextmanager
def runner(action: str, run_dir: Path, *, command: Sequence[str] = (), **env: str) -> Iterator[subprocess.Popen[str]]:
    """Start the runner as `make run` or `make demo` does. Its output goes to `run_dir`.out."""
    given = os.environ | free_public_ports() | {"RUN_DIR": str(run_dir), "POSTGRES_OPTIONS": "-c fsync=off"} | env
    arguments = command or [sys.executable, "-m", "native", action]
    with run_dir.with_suffix(".out").open("w") as output:
        process = subprocess.Popen(arguments, cwd=ROOT, env=given, stdout=output, stderr=output, text=True)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=LIMIT_S)


def said(run_dir: Path) -> str:
    return run_dir.with_suffix(".out").read_text()


def groups(run_dir: Path) -> list[int]:
    return [int(group) for group in json.loads((run_dir / "processes.json").read_text())["groups"]]


def web_url(run_dir: Path) -> str:
    [port] = re.findall(r"^WEB_PORT=(\d+)$", (run_dir / "env").read_text(), re.MULTILINE)
    return f"http://127.0.0.1:{port}"


def own_addresses() -> list[str]:
    """Return the IPv4 addresses at which other machines reach this one."""
    found = [address for addresses in psutil.net_if_addrs().values() for address in addresses]
    return [address.address for address in found if address.family == socket.AF_INET]


def manage(run_dir: Path, code: str) -> str:
    """Return what Django's shell prints in the environment of `make manage`."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = ["make", "manage", f"ARGS=shell --no-imports -c {shlex.quote(code)}"]
    return subprocess.run(
        command, cwd=ROOT, env=environment | {"RUN_DIR": str(run_dir)}, capture_output=True, text=True, check=True
    ).stdout


def web_supervisor(run_dir: Path) -> psutil.Process:
    """Find it by its command, not its place. A service that dies with its neighbour restarts after it, out of order."""
    leaders = [process for process in psutil.process_iter() if process.pid in groups(run_dir)]
    [web] = [process for process in leaders if "config.web_server" in command_of(process)]
    return web


def web_workers(supervisor: psutil.Process) -> set[psutil.Process]:
    return set(filter(is_alive, supervisor.children()))


def is_replaced(supervisor: psutil.Process, worker: psutil.Process) -> bool:
    return len(web_workers(supervisor) - {worker}) == 2


def classifies(url: str) -> bool:
    """Return whether both doors give the right label."""
    try:
        return sample.classify_at_once(url).is_right and sample.classify_through_queue(url).is_right
    except CannotRunError:
        return False


def wait_for(text: str, run_dir: Path, process: subprocess.Popen[str]) -> None:
    assert poll(lambda: text in said(run_dir) or process.poll() is not None, START_TIMEOUT_S)
    assert text in said(run_dir), said(run_dir)


@pytest.mark.e2e
def test_demo_classifies_the_sample_through_both_doors_and_stops(run_dir: Path) -> None:
    with runner("demo", run_dir) as process:
        assert process.wait(timeout=START_TIMEOUT_S) == 0, said(run_dir)
    assert said(run_dir).splitlines()[-1] == "2 passed, 0 failed"
    assert said(run_dir).count("espresso") == 2
    assert groups(run_dir) == []


@pytest.mark.parametrize(("label", "closing_line"), [("espresso", "2 passed, 0 failed"), ("cup", "1 passed, 1 failed")])
def test_one_wrong_label_fails_the_demo(capsys: pytest.CaptureFixture[str], label: str, closing_line: str) -> None:
    code = verdict([Answer("v0", "espresso", 0.1), Answer("v1", label, 0.1)])
    assert capsys.readouterr().out.splitlines()[-1] == closing_line
    assert code == (0 if label == "espresso" else 1)


@pytest.mark.parametrize(
    ("allow", "words"), [("1", "callers without a token see each other's"), ("0", "callers with a token")]
)
def test_the_closing_lines_say_who_may_call(allow: str, words: str) -> None:
    assert words in who_may_call({"DJANGO_API_ALLOW_ANONYMOUS": allow})


@pytest.mark.parametrize(("with_token", "header"), [(True, "make token"), (False, "")])
def test_the_command_to_try_sends_a_token_where_one_is_needed(*, with_token: bool, header: str) -> None:
    assert ("Authorization" in sample.curl("http://localhost", with_token=with_token)) is bool(header)


@pytest.mark.e2e
def test_run_is_open_to_other_machines_until_ctrl_c_and_leaves_no_process(run_dir: Path) -> None:
    extra = "django.contrib.humanize"  # stands for an app of the user
    with runner("run", run_dir, WEB_HOST="0.0.0.0", DJANGO_EXTRA_APPS=extra) as process:
        wait_for("Ctrl-C stops everything", run_dir, process)
        started = groups(run_dir)
        assert len(started) == 9
        for host in ("127.0.0.1", *own_addresses()):
            url = web_url(run_dir).replace("127.0.0.1", host)
            assert requests.get(f"{url}/api/v1/models/", timeout=LIMIT_S).status_code == 200, host
        assert extra in manage(run_dir, "from django.conf import settings; print(settings.INSTALLED_APPS)")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=LIMIT_S) == 0
    assert not any(group_members(group) for group in started)
    assert "The API accepts the host names localhost, 127.0.0.1, [::1], " in said(run_dir)
    assert "DJANGO_ALLOWED_HOSTS=vision.example.com WEB_HOST=0.0.0.0 make run" in said(run_dir)
    assert "Try      curl -F model_type=efficientnet_lite0 -F image=@samples/coffee.jpg http://127.0.0.1" in said(
        run_dir
    )


@pytest.mark.e2e
def test_what_is_killed_comes_back_and_the_api_with_it(run_dir: Path) -> None:
    with runner("run", run_dir) as process:
        wait_for("Ctrl-C stops everything", run_dir, process)
        url = web_url(run_dir)
        for name, group in zip(("postgres", "redis", "model_server", "web", "worker"), groups(run_dir), strict=False):
            os.kill(group, signal.SIGKILL)
            wait_for(f"The service {name} was killed by SIGKILL. It restarts in 0.5 s", run_dir, process)
            assert poll(lambda: classifies(url), LIMIT_S), said(run_dir)
        web = web_supervisor(run_dir)
        for _ in range(4):
            worker = min(web_workers(web), key=psutil.Process.create_time)
            worker.kill()
            assert poll(partial(is_replaced, web, worker), LIMIT_S)
            assert poll(lambda: classifies(url), LIMIT_S)
        started = groups(run_dir)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=LIMIT_S) == 0
    assert not any(group_members(group) for group in started)


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_make_stops_the_runner_and_leaves_no_process(run_dir: Path, number: signal.Signals) -> None:
    with runner("run", run_dir, command=["make", "run"]) as make:
        assert poll(lambda: (run_dir / "processes.json").exists() and len(groups(run_dir)) > 1, START_TIMEOUT_S)
        started = groups(run_dir)
        [runner_of_services] = psutil.Process(make.pid).children()
        make.send_signal(number)
        assert make.wait(timeout=LIMIT_S) != 0
    assert not is_alive(runner_of_services)
    assert not any(group_members(group) for group in started)
    assert "Stopping..." in said(run_dir)


def test_ctrl_c_while_services_start_leaves_no_process(run_dir: Path) -> None:
    with runner("run", run_dir) as process:
        taken_note = (run_dir / "processes.json").exists
        assert poll(lambda: taken_note() and len(groups(run_dir)) > 1, START_TIMEOUT_S)
        started = groups(run_dir)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=LIMIT_S) == 0
    assert not any(group_members(group) for group in started)


def test_a_taken_web_port_is_reported_and_nothing_starts(run_dir: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        with runner("run", run_dir, WEB_PORT=port) as process:
            assert process.wait(timeout=LIMIT_S) == 1
    assert f"Port {port} on 127.0.0.1, meant for web, is in use by another program" in said(run_dir)
    assert "Traceback" not in said(run_dir)
    assert list((run_dir / "logs").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_reported_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run_dir = tmp_path / "file" / "run"
    done = subprocess.run(
        [sys.executable, "-m", "native", "run"],
        cwd=ROOT,
        env=os.environ | {"RUN_DIR": str(run_dir)},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 1
    assert "Cannot write" in done.stdout
    assert "Traceback" not in done.stderr
