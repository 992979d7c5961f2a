"""A client that is slow, silent, or large makes no other client wait."""

import hashlib
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from moon_vision_challenge.http_server.tests.conftest import (
    TIMEOUT_S,
    Server,
    StartServer,
    read_all,
    read_answer,
    request,
    running,
    status,
    told,
    wait_for,
)

# A test shortens only the limit that it is about: this process may be too late for any other.
SHORT_HEAD = {"head_timeout_s": 2}
SHORT_BODY = {"body_timeout_s": 2, "rate_window_s": 1}


def test_a_silent_connection_is_closed(start_server: StartServer) -> None:
    with start_server(**SHORT_HEAD).connect() as client:
        assert client.recv(1) == b""


def test_a_head_that_comes_byte_by_byte_gets_408(start_server: StartServer) -> None:
    with start_server(**SHORT_HEAD).connect() as client:
        answer = _drip(client, request("GET", "/", "X-Name: " + "a" * 1000))
    assert status(answer) == 408
    assert told(answer)["code"] == "request_timeout"


def test_a_body_that_comes_byte_by_byte_gets_408(start_server: StartServer) -> None:
    with start_server(**SHORT_BODY).connect() as client:
        client.sendall(request("POST", "/", "Content-Length: 1000"))
        assert status(_drip(client, b"a" * 1000)) == 408


def test_a_body_that_stops_after_a_good_start_gets_408(start_server: StartServer) -> None:
    with start_server(**SHORT_BODY).connect() as client:
        client.sendall(request("POST", "/", "Content-Length: 2000000") + bytes(1_000_000))
        assert status(read_all(client)) == 408


def test_a_body_that_comes_fast_enough_and_takes_too_long_gets_408(start_server: StartServer) -> None:
    with start_server(**SHORT_BODY, min_body_bytes_per_s=1).connect() as client:
        client.sendall(request("POST", "/", "Transfer-Encoding: chunked"))
        assert status(_drip(client, b"3e8\r\n" + bytes(1000))) == 408


def _drip(client: socket.socket, data: bytes) -> bytes:
    client.settimeout(0.02)
    received = b""
    for byte in data:
        client.sendall(bytes([byte]))
        try:
            received = client.recv(1 << 16)
            break
        except TimeoutError:
            continue
    client.settimeout(TIMEOUT_S)
    return received + read_all(client)


def test_a_connection_that_has_been_idle_for_long_is_closed(start_server: StartServer) -> None:
    with start_server(idle_timeout_s=1).connect() as client:
        client.sendall(request("GET", "/"))
        assert status(read_answer(client)) == 200
        assert client.recv(1) == b""


def test_a_client_that_does_not_read_its_answer_is_dropped(start_server: StartServer) -> None:
    server = start_server(write_timeout_s=1)
    with server.connect(receive_buffer=4096) as client:
        client.sendall(request("GET", "/file"))
        (worker,) = server.workers
        select.select([client], [], [], TIMEOUT_S)  # the answer has begun
        wait_for(lambda: len(worker.net_connections()) == 1)  # only the listening one is left


def test_a_request_that_takes_long_is_not_timed(start_server: StartServer) -> None:
    limits = {**SHORT_HEAD, **SHORT_BODY, "idle_timeout_s": 1, "write_timeout_s": 1}
    assert status(start_server(**limits).get("/sleep?s=2.5")) == 200


@pytest.fixture(scope="module")
def crowded() -> Iterator[Server]:
    five_minutes = 300
    with running(
        max_connections=400,
        head_timeout_s=five_minutes,
        body_timeout_s=five_minutes,
        rate_window_s=five_minutes,
        write_timeout_s=five_minutes,
    ) as server:
        yield server


def test_others_are_served_while_200_bodies_come_slowly(crowded: Server) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(crowded.connect())
            client.sendall(request("POST", "/", "Content-Length: 1000") + b"a")
        _serves(crowded)


def test_others_are_served_while_more_connections_are_silent_than_may_be_open(crowded: Server) -> None:
    with ExitStack() as stack:
        for number in range(1100):
            client = stack.enter_context(crowded.connect())
            client.sendall(b"GET / HTTP/1.1\r\n" if number % 2 else b"")
        _serves(crowded)
        (worker,) = crowded.workers
        assert len(worker.net_connections()) <= 402


def test_others_are_served_while_answers_are_not_read(crowded: Server) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(crowded.connect(receive_buffer=4096))
            client.sendall(request("GET", "/file"))
        _serves(crowded)


def _serves(server: Server) -> None:
    """Check that no request waits for the slow clients, which have five minutes."""
    for _ in range(50):
        begin = time.monotonic()
        assert status(server.get("/")) == 200
        assert time.monotonic() - begin < 30


def test_immediate_and_reserved_paths_answer_while_all_threads_are_busy(server: Server, tmp_path: Path) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.connect()) for _ in range(4)]
        for number, client in enumerate(clients):
            client.sendall(request("GET", f"/hold?until={tmp_path / f'{number}.end'}"))
        wait_for(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
        assert status(server.get("/livez")) == 200
        assert status(server.get("/reserved")) == 200
        for number in range(4):
            (tmp_path / f"{number}.end").touch()
        assert [status(read_answer(client)) for client in clients] == [200] * 4


def test_a_request_is_answered_while_more_wait_than_there_are_threads(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server(spare_threads=4)
    with ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(server.connect())
            client.sendall(request("GET", f"/hold?until={tmp_path / 'end'}"))
        assert status(server.get("/")) == 200
        (tmp_path / "end").touch()


def test_413_reaches_a_client_that_sends_all_of_a_stated_length_before_it_reads(server: Server) -> None:
    answer = server.send(request("POST", "/", body=bytes(40_000_000)))
    assert status(answer) == 413
    assert told(answer)["code"] == "request_too_large"


def test_413_reaches_a_client_that_sends_chunks(server: Server) -> None:
    chunk = b"f4240\r\n" + bytes(1_000_000) + b"\r\n"
    answer = server.send(request("POST", "/", "Transfer-Encoding: chunked") + chunk * 40 + b"0\r\n\r\n")
    assert status(answer) == 413


def test_what_follows_a_refusal_is_read_up_to_a_limit_only(start_server: StartServer) -> None:
    server = start_server(max_body_bytes=1000, max_drained_bytes=1_000_000)
    with server.connect() as client:
        client.sendall(request("POST", "/", "Content-Length: 900000000"))
        with pytest.raises(OSError, match=r"reset|pipe"):
            client.sendall(bytes(900_000_000))


def test_the_largest_body_is_accepted_in_chunks_too(server: Server) -> None:
    chunk = b"f4240\r\n" + bytes(1_000_000) + b"\r\n"
    data = request("POST", "/", "Transfer-Encoding: chunked", "Connection: close") + chunk * 30 + b"0\r\n\r\n"
    assert told(server.send(data))["body_md5"] == hashlib.md5(bytes(30_000_000)).hexdigest()


def test_tiny_chunks_are_refused(server: Server) -> None:
    answer = server.send(request("POST", "/", "Transfer-Encoding: chunked") + b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n")
    assert status(answer) == 400


def test_a_long_chunk_extension_is_refused(server: Server) -> None:
    answer = server.send(request("POST", "/", "Transfer-Encoding: chunked") + b"1;" + b"a" * 1_000_000)
    assert status(answer) == 400


@pytest.mark.parametrize(
    "data",
    [
        request("GET", "/" + "a" * 40_000),
        request("GET", "/", "X-Name: " + "a" * 40_000),
        b"GET / HTTP/1.1\r\nX-Name: " + b"a" * 300_000,
        request("GET", "/", *[f"X-{number}: a" for number in range(200)]),
        request("POST", "/", "Transfer-Encoding: chunked") + b"0\r\n" + b"X-Name: a\r\n" * 10_000 + b"\r\n",
    ],
    ids=["target", "header", "header without an end", "headers", "trailers"],
)
def test_a_head_that_is_too_large_gets_431(server: Server, data: bytes) -> None:
    answer = server.send(data)
    assert status(answer) == 431
    assert told(answer)["code"] == "headers_too_large"


def test_requests_without_end_that_wait_for_no_answer_are_refused(server: Server) -> None:
    answers = server.send(request("GET", "/livez") + request("GET", "/sleep?s=0.01") * 300)
    assert b"HTTP/1.1 429 " in answers


def test_bodies_together_take_no_more_memory_than_they_may_and_the_slowest_gives_way(
    start_server: StartServer,
) -> None:
    server = start_server(max_body_bytes=10_000_000, max_body_memory_bytes=30_000_000, rate_window_s=120)
    with ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _ in range(5)]
        for client in slow:
            client.sendall(request("POST", "/", "Content-Length: 9000000") + bytes(8_000_000))
        answer = server.send(request("POST", "/", "Connection: close", body=bytes(1_000_000)))
        assert told(answer)["body_bytes"] == 1_000_000
        refused = read_all(slow[0])
        assert status(refused) == 503
        assert b"\r\nRetry-After: 5\r\n" in refused


def test_memory_is_given_back_after_clients_that_hang_up(start_server: StartServer) -> None:
    server = start_server(max_body_bytes=10_000_000, max_body_memory_bytes=40_000_000)
    for _ in range(10):
        with server.connect() as client:
            client.sendall(request("POST", "/", "Content-Length: 9000000") + bytes(8_000_000))
        with server.connect() as client:
            client.sendall(request("POST", "/sleep?s=0", body=bytes(9_000_000)))
    large = request("POST", "/", "Connection: close", body=bytes(9_000_000))
    # The server refuses the body until it notices that the last client has hung up.
    wait_for(lambda: told(server.send(large)).get("body_bytes") == 9_000_000)
    (worker,) = server.workers
    assert isinstance(worker, psutil.Process)
    assert worker.memory_info().rss < 150_000_000
