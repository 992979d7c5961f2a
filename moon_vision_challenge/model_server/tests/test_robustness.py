"""Clients that are slow, silent, gone, or greedy do not affect others, and get an answer that says why."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from onnx import TensorProto, helper

from moon_vision_challenge.model_server.bodies import (
    SMALL_BODY_BYTES,
)
from moon_vision_challenge.model_server.tests.conftest import (
    DEADLINE_S,
    Server,
    models_config,
    save_half,
    save_model,
    start_server,
    tensor,
)

SOUND = {"instances": [[1, 2]]}
ANSWER = {"predictions": [[0.5, 1.0]]}
SLOW_HEAD = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"
LARGE_HEAD = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{"
CHUNKED_HEAD = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"


def save_zeros(path: Path) -> None:
    """Save a model that returns as many zeros as the client asks for, which may be more than fit into memory."""
    outputs = [tensor("zeros", TensorProto.FLOAT, "N")]
    save_model(
        path, [helper.make_node("ConstantOfShape", ["n"], ["zeros"])], [tensor("n", TensorProto.INT64, 1)], outputs
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("robust")
    save_half(folder / "models" / "half" / "1" / "model.onnx")
    save_half(folder / "models" / "Bergkäse" / "1" / "model.onnx")
    save_zeros(folder / "models" / "zeros" / "1" / "model.onnx")
    (folder / "models.config").write_text(models_config("half", "zeros", "Bergkäse"), encoding="utf-8")
    return folder


@contextmanager
def stopped_without_traceback(server: Server) -> Iterator[Server]:
    yield server
    assert server.stop() == 0, server.log.read_text()
    assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    times = {"BODY_TIMEOUT_S": 300, "HEADER_TIMEOUT_S": 300}
    running = start_server(folder, "--rest_api_max_body_bytes=1000000", constants=times)
    with stopped_without_traceback(running):
        yield running


@pytest.fixture(scope="module")
def impatient(folder: Path) -> Iterator[Server]:
    """The same server with shorter time limits."""
    times = {"BODY_TIMEOUT_S": 3, "HEADER_TIMEOUT_S": 3, "WRITE_TIMEOUT_S": 1}
    running = start_server(folder, "--rest_api_max_body_bytes=1000000", constants=times)
    with stopped_without_traceback(running):
        yield running


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=DEADLINE_S)


def reply(connection: socket.socket) -> bytes:
    """Return everything until the server closes the connection."""
    content = b""
    while piece := connection.recv(65536):
        content += piece
    return content


def is_served(server: Server) -> None:
    started = time.monotonic()
    assert server.predict("half", SOUND).json() == ANSWER
    assert time.monotonic() - started < 60  # the slow clients have five minutes


@pytest.mark.parametrize("head", [SLOW_HEAD, LARGE_HEAD, CHUNKED_HEAD, b"", b"POST /v1/mod"])
def test_a_thousand_unfinished_requests_do_not_keep_others_from_being_served(server: Server, head: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(connect(server)).sendall(head)
        is_served(server)
        assert server.get("/v1/models/half").status_code == 200


@pytest.mark.parametrize("head", [SLOW_HEAD, CHUNKED_HEAD])
def test_a_body_that_does_not_arrive_in_time_is_answered_408(impatient: Server, head: bytes) -> None:
    with connect(impatient) as connection:
        connection.sendall(head)
        content = reply(connection)
    assert content.startswith(b"HTTP/1.1 408 ")
    assert content.endswith(b'{"error":"The request\'s body did not arrive in time."}')


@pytest.mark.parametrize("head", [b"", b"GET /v1/mod", b"GET / HTTP/1.1\r\nX: y\r\n"])
def test_a_header_that_does_not_arrive_in_time_ends_the_connection(impatient: Server, head: bytes) -> None:
    with connect(impatient) as connection:
        connection.sendall(head)
        assert reply(connection) == b""


def test_a_connection_that_is_kept_open_serves_again_and_ends_when_it_is_idle(impatient: Server) -> None:
    request = b"GET /v1/models/half HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(impatient) as connection:
        connection.sendall(request)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(request)
        assert reply(connection).startswith(b"HTTP/1.1 200")


ZEROS = b'{"inputs": {"n": [1000000]}}'
ASKS_FOR_ZEROS = b"POST /v1/models/zeros:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
    len(ZEROS),
    ZEROS,
)


def slow_reader(server: Server) -> socket.socket:
    """Return a client that asks for more than its kernel buffers, and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(DEADLINE_S)
    client.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
    client.sendall(ASKS_FOR_ZEROS)
    return client


def connections_of(server: Server) -> int:
    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children()]
    return sum(each.status == psutil.CONN_ESTABLISHED for process in family for each in process.net_connections("tcp"))


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has this limit")
def test_clients_that_do_not_read_are_hung_up_on_and_hold_nobody_up(impatient: Server) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(slow_reader(impatient))
        is_served(impatient)
        deadline = time.monotonic() + DEADLINE_S
        while connections_of(impatient) > 1:  # the connection of is_served may stay open
            assert time.monotonic() < deadline, connections_of(impatient)
            time.sleep(0.1)


def test_a_client_that_hangs_up_in_its_body_leaves_nothing_in_the_log(server: Server) -> None:
    for head in (SLOW_HEAD, LARGE_HEAD, CHUNKED_HEAD):
        with connect(server) as connection:
            connection.sendall(head)
    is_served(server)
    assert "Traceback" not in server.log.read_text()
    assert "failed" not in server.log.read_text()


@pytest.mark.parametrize("size", [1_000_001, 1_900_000])
def test_a_client_that_sends_all_of_a_body_that_is_too_large_reads_why(server: Server, size: int) -> None:
    response = server.predict("half", b" " * size)
    assert (response.status_code, response.headers["connection"]) == (413, "close")
    assert "larger than 1000000 bytes" in response.json()["error"]


def test_a_large_body_within_the_limit_is_served(server: Server) -> None:
    content = json.dumps({"instances": [[1, 2]] * 50_000}).encode()
    assert SMALL_BODY_BYTES < len(content) < 1_000_000
    assert server.predict("half", content).json()["predictions"][-1] == [0.5, 1.0]
    pieces = iter([content[:10], content[10:]])
    response = requests.post(f"{server.url}/v1/models/half:predict", data=pieces, timeout=DEADLINE_S)
    assert response.json()["predictions"][-1] == [0.5, 1.0]


@pytest.mark.parametrize("count", [2**45, 2**62, -1, -(2**63)])
def test_a_result_that_does_not_fit_into_memory_is_refused(server: Server, count: int) -> None:
    response = server.predict("zeros", {"inputs": [count]})
    assert response.status_code in (400, 503)
    assert response.json()["error"]
    is_served(server)


def test_half_of_a_surrogate_pair_in_a_message_is_not_a_server_error(server: Server) -> None:
    response = server.predict("half", b'{"instances": [[NaN, 1]], "signature_name": "\\ud800"}')
    assert (response.status_code, "not found in signature def" in response.json()["error"]) == (400, True)


def test_what_is_echoed_is_cut(server: Server) -> None:
    long = "x" * 60_000
    for response in (
        server.get(f"/v1/models/{long}"),
        server.get(f"/{long}"),
        server.get(f"/v1/models/half/labels/{long}"),
        server.predict("half", {"instances": [[1, 2]], "signature_name": long}),
        server.predict("half", {"instances": [long]}),
        server.predict("half", {"instances": [{long: 1}]}),
    ):
        assert 400 <= response.status_code < 500
        assert len(response.content) < 2_000


def test_a_model_whose_name_is_outside_ascii_is_served(server: Server) -> None:
    for name in ("Bergkäse", "Bergk%C3%A4se"):
        assert server.predict(name, SOUND).json() == ANSWER
        assert server.get(f"/v1/models/{name}").json()["model_version_status"][0]["state"] == "AVAILABLE"
