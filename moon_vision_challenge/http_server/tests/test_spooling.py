"""Bodies for some paths may be larger than memory: they are written to a file as they arrive."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from moon_vision_challenge.http_server.tests.conftest import Server, read_all, request, status, told, wait_for

MIB = 1024 * 1024
APPLICATION = """
import hashlib, json, os, sys
from moon_vision_challenge.http_server.limits import Limits
from moon_vision_challenge.http_server.supervisor import Supervisor, listen
from moon_vision_challenge.http_server.service import Service

def application(environ, start_response):
    digest = hashlib.sha256()
    while data := environ["wsgi.input"].read(65536):
        digest.update(data)
    path = environ.get("moon_vision.body_file")
    if path and environ["QUERY_STRING"] == "keep":
        os.rename(path, path + ".kept")
    told = {"sha256": digest.hexdigest(), "file": bool(path), "length": environ.get("CONTENT_LENGTH")}
    body = json.dumps(told).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]

limits = Limits(max_body_bytes=2**20, max_body_memory_bytes=20 * 2**20, spooled={b"/large": 200 * 2**20},
                spool_folder=sys.argv[1], max_spools=2, body_timeout_s=600, spooled_timeout_s=600)
listener = listen("127.0.0.1", 0)
print(listener.getsockname()[1], flush=True)
Supervisor(lambda: Service(application=application, limits=limits), listener, processes=1).run()
"""


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    with subprocess.Popen([sys.executable, "-c", APPLICATION, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        server = Server(int(process.stdout.readline()), process)
        try:
            wait_for(lambda: len(server.workers) == 1)
            yield server
        finally:
            process.terminate()
            process.wait(180)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with serving(folder) as started:
        yield started


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_large_body_arrives_whole_and_leaves_no_file(server: Server, folder: Path) -> None:
    body = b"0123456789abcdef" * (50 * MIB // 16) + b"the end"
    answer = told(server.send(request("POST", "/large", "Connection: close", body=body)))
    assert answer == {"sha256": hashlib.sha256(body).hexdigest(), "file": True, "length": str(len(body))}
    wait_for(lambda: files(folder) == [])


def test_a_chunked_body_does_too(server: Server) -> None:
    chunk = bytes(MIB)
    chunked = b"".join([b"%x\r\n%b\r\n" % (len(chunk), chunk)] * 30) + b"0\r\n\r\n"
    answer = told(server.send(request("POST", "/large", "Connection: close", "Transfer-Encoding: chunked") + chunked))
    assert answer["sha256"] == hashlib.sha256(chunk * 30).hexdigest()
    assert answer["length"] == str(30 * MIB)


def test_a_small_body_needs_no_file(server: Server) -> None:
    answer = told(server.send(request("POST", "/large", "Connection: close", body=b"x")))
    assert answer == {"sha256": hashlib.sha256(b"x").hexdigest(), "file": False, "length": "1"}


def test_the_application_may_keep_the_file(server: Server, folder: Path) -> None:
    body = bytes(3 * MIB)
    assert status(server.send(request("POST", "/large?keep", "Connection: close", body=body))) == 200
    (name,) = files(folder)
    assert (folder / name).read_bytes() == body


def test_a_body_above_the_limit_of_its_path_gets_413(server: Server, folder: Path) -> None:
    assert status(server.send(request("POST", "/large", f"Content-Length: {201 * MIB}"))) == 413
    assert status(server.send(request("POST", "/other", f"Content-Length: {2 * MIB}"))) == 413
    assert status(server.send(request("PUT", "/large", f"Content-Length: {2 * MIB}"))) == 413
    assert files(folder) == []


def test_a_process_keeps_no_more_of_it_in_memory_than_a_block(server: Server) -> None:
    (worker,) = server.workers
    with server.connect() as client:
        client.sendall(request("POST", "/large", f"Content-Length: {150 * MIB}"))
        before = worker.memory_info().rss
        for _ in range(149):
            client.sendall(bytes(MIB))
        assert worker.memory_info().rss - before < 40 * MIB


def test_a_client_that_hangs_up_leaves_no_file(server: Server, folder: Path) -> None:
    with server.connect() as client:
        client.sendall(request("POST", "/large", f"Content-Length: {10 * MIB}") + bytes(5 * MIB))
        wait_for(lambda: len(files(folder)) == 1)
    wait_for(lambda: files(folder) == [])


def test_more_uploads_than_places_get_503(server: Server, folder: Path) -> None:
    head = request("POST", "/large", f"Content-Length: {10 * MIB}")
    with server.connect() as first, server.connect() as second:
        for number, client in enumerate([first, second], 1):
            client.sendall(head + bytes(5 * MIB))
            wait_for(lambda number=number: len(files(folder)) == number)  # type: ignore[misc]
        with server.connect() as third:
            third.sendall(head + bytes(5 * MIB))
            answer = read_all(third)
    assert (status(answer), told(answer)["code"]) == (503, "overloaded")
    wait_for(lambda: files(folder) == [])
    assert status(server.send(request("POST", "/large", "Connection: close", body=bytes(5 * MIB)))) == 200


def test_a_full_disk_gets_503(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_bytes(b"")  # no folder can be created here
    with serving(folder) as server, server.connect() as client:
        client.sendall(request("POST", "/large", f"Content-Length: {10 * MIB}") + bytes(5 * MIB))
        answer = read_all(client)
    assert (status(answer), told(answer)["code"]) == (503, "storage_full")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"].startswith("The disk has no room")
    assert psutil.pid_exists(server.process.pid) is False
