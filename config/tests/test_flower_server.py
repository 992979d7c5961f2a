import http.client
import os
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator

import pytest

from config.tests.commands import LIMIT_S, run_python

pytestmark = pytest.mark.e2e  # each test or fixture starts an interpreter with the whole service

LOGIN = {"Authorization": f"Basic {b64encode(b'someone:secret').decode()}"}
WITHOUT_LOGIN = {name: value for name, value in os.environ.items() if not name.startswith("FLOWER_")}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yield the port of a Flower that has a login, the defaults otherwise, and a variable that would open its API."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        chosen: int = probe.getsockname()[1]
    login = tmp_path_factory.mktemp("flower") / "login"
    login.write_text("someone:secret\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "config.flower_server", "--address=127.0.0.1", f"--port={chosen}"],
        env={**WITHOUT_LOGIN, "FLOWER_BASIC_AUTH_FILE": str(login), "FLOWER_UNAUTHENTICATED_API": "true"},
    )
    deadline = time.monotonic() + LIMIT_S
    while status(chosen, "/healthcheck") != 200:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)  # between two attempts
    yield chosen
    process.terminate()
    process.wait(LIMIT_S)


def status(port: int, path: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> int:
    """Return the status of the response, or 0 while nothing listens on the port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        connection.request(method, path, headers=headers or {})
        return connection.getresponse().status
    except ConnectionRefusedError:
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/", "/workers", "/tasks", "/broker", "/metrics", "/api/workers", "/api/tasks"])
def test_every_page_needs_the_login(port: int, path: str) -> None:
    assert status(port, path) == 401


def test_with_the_login_metrics_are_shown(port: int) -> None:
    assert status(port, "/metrics", headers=LOGIN) == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/worker/shutdown/celery@host",
        "/api/worker/pool/restart/celery@host",
        "/api/worker/pool/grow/celery@host",
        "/api/worker/queue/cancel-consumer/celery@host",
        "/api/task/async-apply/moon_vision_challenge.webhooks.tasks.sweep",
        "/api/task/revoke/some-id",
    ],
)
def test_workers_cannot_be_controlled(port: int, path: str) -> None:
    assert status(port, path, method="POST") == 401
    assert status(port, path, method="POST", headers=LOGIN) == 403


def test_without_a_login_flower_does_not_start() -> None:
    result = run_python("-m", "config.flower_server", env=WITHOUT_LOGIN)
    assert result.returncode == 2
    assert "Set FLOWER_BASIC_AUTH" in result.stderr
