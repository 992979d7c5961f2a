import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from moon_vision_challenge import __version__
from moon_vision_challenge.model_server.__main__ import parse_flags
from moon_vision_challenge.model_server.inference_queue import InferenceQueue, OverloadedError
from moon_vision_challenge.model_server.tests.conftest import (
    DEADLINE_S,
    SPAWNED,
    Server,
    command,
    models_config,
    save_half,
    save_slow,
    start_server,
)
from native.environment import free_port

ABOUT_A_SECOND = 4_000  # steps of the slow model
PATIENT = {"SHUTDOWN_TIMEOUT_S": 900}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_half(tmp_path / "models" / "half" / "1" / "model.onnx")
    save_slow(tmp_path / "models" / "slow" / "1" / "model.onnx")
    (tmp_path / "models.config").write_text(models_config("half", "slow"))
    return tmp_path


def refusal(folder: Path, port: int, *flags: str) -> str:
    """Return the whole output of a server that must not start."""
    result = subprocess.run(
        command(folder, port, *flags), capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert result.returncode == 1
    assert result.stdout == ""
    return result.stderr


def test_version_needs_no_other_flag() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "moon_vision_challenge.model_server", "--version"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert result.stdout == f"model_server {__version__}\n"


def test_all_cores_run_models_where_the_system_does_not_tell_which_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert parse_flags(["--model_config_file=models.config"]).inference_threads == os.cpu_count()


def test_a_taken_port_is_one_sentence_and_exit_code_1(server: Server, folder: Path) -> None:
    port = int(server.url.rpartition(":")[2])
    [line] = refusal(folder, port).splitlines()
    assert f"Cannot listen on 127.0.0.1:{port} (Address already in use): choose another --rest_api_port" in line


def test_a_mistake_in_the_config_file_is_one_sentence_with_its_line(folder: Path) -> None:
    (folder / "models.config").write_text("model_config_list {\n  colour: 'red'\n}")
    [line] = refusal(folder, free_port()).splitlines()
    assert "models.config: line 2: model_config_list has no field colour" in line


def test_a_config_file_that_is_not_there_is_one_sentence(folder: Path) -> None:
    (folder / "models.config").unlink()
    [line] = refusal(folder, free_port()).splitlines()
    assert "models.config: cannot be read: No such file or directory" in line


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_that_runs_when_the_stop_signal_arrives_is_answered(folder: Path, signal_number: int) -> None:
    server = start_server(folder, constants=PATIENT)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.predict, "slow", {"inputs": [2 * ABOUT_A_SECOND]})
        wait_until_busy(server)
        assert not answer.done()
        server.process.send_signal(signal_number)
        assert answer.result(DEADLINE_S).json() == {"outputs": [0.0]}
    assert server.process.wait(DEADLINE_S) == 0
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_gets_a_stop_signal_while_loading_stops_immediately(folder: Path, signal_number: int) -> None:
    process = subprocess.Popen(command(folder, free_port(), constants=PATIENT), stderr=subprocess.PIPE)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + DEADLINE_S
    while not children.read_text():
        assert time.monotonic() < deadline
    process.send_signal(signal_number)
    _, log = process.communicate(timeout=PATIENT["SHUTDOWN_TIMEOUT_S"] / 5)
    assert process.returncode == 0
    assert b"Traceback" not in log


def test_a_worker_that_is_spawned_serves_too(folder: Path) -> None:
    server = start_server(folder, start=SPAWNED)
    assert server.predict("half", {"inputs": [[2.0, 4.0]]}).json() == {"outputs": [[1.0, 2.0]]}
    assert server.stop() == 0
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "INFO REST API at" in log


def wait_until_busy(server: Server) -> None:
    """Wait until the server's processes have used CPU time for inference: a long request is then in progress."""
    used = cpu_ticks(server)
    deadline = time.monotonic() + DEADLINE_S
    while cpu_ticks(server) < used + 10:
        assert time.monotonic() < deadline, "the server never got busy"
        time.sleep(0.01)


def cpu_ticks(server: Server) -> int:
    parent = server.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in (parent, *children)]
    return sum(int(fields[11]) + int(fields[12]) for fields in stats)


def test_status_answers_while_every_inference_thread_is_busy_and_others_wait(folder: Path) -> None:
    server = start_server(folder, "--inference_threads=1")
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(server.predict, "slow", {"inputs": [ABOUT_A_SECOND // 4]}) for _ in range(8)]
        wait_until_busy(server)
        assert server.get("/v1/models/half").status_code == 200
        assert not all(answer.done() for answer in answers)
        assert [answer.result(DEADLINE_S).status_code for answer in answers] == [200] * 8
    assert server.stop() == 0


def test_runs_are_made_in_the_order_of_arrival() -> None:
    begun, released = threading.Event(), threading.Event()
    order: list[int] = []

    def hold(_: int) -> None:
        begun.set()
        released.wait(DEADLINE_S)

    async def three_requests_behind_one() -> None:
        queue = InferenceQueue(threads=1, max_waiting=3)
        async with asyncio.TaskGroup() as requests:
            requests.create_task(queue.run(hold, [0]))
            assert await asyncio.to_thread(begun.wait, DEADLINE_S)
            for number in range(3):
                requests.create_task(queue.run(order.append, [number]))
                await asyncio.sleep(0)
                assert queue.waiting_runs == number + 1
            assert order == []
            released.set()

    asyncio.run(three_requests_behind_one())
    assert order == [0, 1, 2]


def test_a_request_of_many_parts_lets_one_that_comes_after_it_go_first() -> None:
    begun, released = threading.Event(), threading.Event()
    order: list[str] = []

    def note(part: str) -> str:
        begun.set()
        released.wait(DEADLINE_S)
        order.append(part)
        return part.upper()

    async def small_behind_large() -> list[list[str]]:
        queue = InferenceQueue(threads=1, max_waiting=3)
        large = asyncio.create_task(queue.run(note, ["a", "b", "c", "d", "e"]))
        assert await asyncio.to_thread(begun.wait, DEADLINE_S)
        assert queue.waiting_runs == 1  # b
        small = asyncio.create_task(queue.run(note, ["small"]))
        await asyncio.sleep(0)
        assert queue.waiting_runs == 2
        released.set()
        return [await large, await small]

    assert asyncio.run(small_behind_large()) == [["A", "B", "C", "D", "E"], ["SMALL"]]
    assert order == ["a", "b", "small", "c", "d", "e"]


def test_a_part_that_fails_ends_its_request_and_gives_its_place_back() -> None:
    tried: list[int] = []

    def divide(part: int) -> float:
        tried.append(part)
        return 1 / part

    async def three_failures_and_a_success() -> list[float]:
        queue = InferenceQueue(threads=1, max_waiting=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await queue.run(divide, [1, 0, *range(2, 50)])
        return await queue.run(divide, [2])

    assert asyncio.run(three_failures_and_a_success()) == [0.5]
    assert len(tried) < 20


def test_the_queue_is_bounded() -> None:
    released = threading.Event()

    async def six_requests_for_four_places() -> list[Any]:
        queue = InferenceQueue(threads=1, max_waiting=3)
        requests = [asyncio.create_task(queue.run(released.wait, [DEADLINE_S])) for _ in range(6)]
        await asyncio.wait(requests[4:])
        assert not any(request.done() for request in requests[:4])
        released.set()
        return await asyncio.gather(*requests, return_exceptions=True)

    answers = asyncio.run(six_requests_for_four_places())
    assert answers[:4] == [[True]] * 4
    assert [type(answer) for answer in answers[4:]] == [OverloadedError] * 2
