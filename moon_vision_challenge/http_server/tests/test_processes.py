"""The server's processes."""

import signal
import socket
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil
import pytest

from moon_vision_challenge.http_server.supervisor import CannotListenError, listen
from moon_vision_challenge.http_server.tests.conftest import (
    TIMEOUT_S,
    Server,
    StartServer,
    read_all,
    read_answer,
    request,
    status,
    told,
    wait_for,
)


def is_replaced(server: Server, victim: psutil.Process) -> bool:
    return len(server.workers) == 2 and victim not in server.workers


def test_connections_are_dealt_evenly(start_server: StartServer) -> None:
    # On a loaded machine, the other process needs more than 5 ms to take its connections.
    assert any(_is_dealt_evenly(start_server(processes=2, constants={"YIELD_S": yield_s})) for yield_s in (0.005, 1))


def _is_dealt_evenly(server: Server) -> bool:
    difference = 0
    for _ in range(10):
        with ExitStack() as stack:
            clients = [stack.enter_context(server.connect()) for _ in range(8)]
            for client in clients:
                client.sendall(request("GET", "/"))
            dealt = Counter(told(read_answer(client))["pid"] for client in clients)
        difference += abs(8 - 2 * max(dealt.values()))
    return difference / 10 <= 2  # at most 5 and 3 on average


def test_a_process_that_dies_is_replaced_every_time(start_server: StartServer) -> None:
    server = start_server(processes=2)
    for _ in range(2):
        victim = server.workers[0]
        victim.send_signal(signal.SIGKILL)
        assert status(server.get("/")) == 200
        wait_for(partial(is_replaced, server, victim))


def test_a_request_under_way_is_answered_before_the_server_stops(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(processes=2)
    with ExitStack() as stack, server.connect() as client, server.connect() as uploader:
        idles: dict[int, socket.socket] = {}
        while len(idles) < 2:  # one in each process
            idle = stack.enter_context(server.connect())
            idle.sendall(request("GET", "/"))
            idles[told(read_answer(idle))["pid"]] = idle
        client.sendall(request("GET", f"/hold?until={tmp_path / 'end'}"))
        uploader.sendall(request("POST", "/", "Content-Length: 3") + b"a")
        wait_for(lambda: _is_busy(server) and (tmp_path / "end.begun").exists())
        server.process.send_signal(signal.SIGTERM)
        assert [idle.recv(1) for idle in idles.values()] == [b"", b""]  # both processes have noticed
        uploader.sendall(b"bc")
        (tmp_path / "end").touch()
        for answer in (read_all(client), read_all(uploader)):
            assert status(answer) == 200
            assert b"\r\nConnection: close\r\n" in answer
    assert server.process.wait(TIMEOUT_S) == 0


def _is_busy(server: Server) -> bool:
    return sum(len(worker.net_connections()) for worker in server.workers) >= 6


def test_a_server_that_is_stopping_does_not_wait_forever(start_server: StartServer) -> None:
    server = start_server(stop_timeout_s=0.3)
    with server.connect() as client:
        client.sendall(request("GET", "/sleep?s=60"))
        wait_for(lambda: len(server.workers[0].net_connections()) == 2)
        assert server.stop() == 0


def test_processes_end_with_their_parent(start_server: StartServer) -> None:
    server = start_server(processes=2, head_timeout_s=0.4)
    workers = server.workers
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))


def test_a_taken_port_is_reported(server: Server) -> None:
    with pytest.raises(CannotListenError, match=f"Cannot listen on 127.0.0.1:{server.port}: Address already in use"):
        listen("127.0.0.1", server.port)


def test_all_addresses_are_those_of_ipv6_and_of_ipv4(start_server: StartServer) -> None:
    port = start_server(host="::").port
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, port), timeout=TIMEOUT_S) as client:
            client.sendall(request("GET", "/", "Connection: close"))
            assert told(read_all(client))["REMOTE_ADDR"] == host


def test_all_addresses_are_those_of_ipv4_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listen("::", 0) as listener:
        assert listener.family == socket.AF_INET
