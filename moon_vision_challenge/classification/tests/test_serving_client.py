import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from pytest_django import Settings

from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    ModelNotAvailableError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
)
from moon_vision_challenge.classification.serving import client
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.conftest import StartFake

PAYLOAD = {"instances": [1]}


def test_a_good_reply_is_returned_as_it_is(start_fake: StartFake) -> None:
    server = start_fake(fake.replies(200, {"predictions": [[0.5]]}))
    assert client.predict(server.url + "/v1/models/m:predict", PAYLOAD) == {"predictions": [[0.5]]}
    assert server.requests == [("/v1/models/m:predict", PAYLOAD)]


def test_the_column_format_is_a_good_reply_too(start_fake: StartFake) -> None:
    server = start_fake(fake.replies(200, {"outputs": [[0.5]]}))
    assert client.predict(server.url, PAYLOAD) == {"outputs": [[0.5]]}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (fake.hangs_up, ModelServerUnavailableError),
        (fake.hangs_up_in_the_body, ModelServerUnavailableError),
        (fake.stalls, ModelServerTimeoutError),
        (fake.stalls_in_the_body, ModelServerTimeoutError),
        (fake.replies(404, {"error": "Servable not found"}), ModelNotAvailableError),
        (fake.replies(429, {"error": "busy"}), ModelServerUnavailableError),
        (fake.replies(503, {"error": "unavailable"}), ModelServerUnavailableError),
        (fake.replies(504, {"error": "deadline"}), ModelServerTimeoutError),
        (fake.replies(400, {"error": "wrong shape"}), InvalidPredictionError),
        (fake.replies(500, b"oops"), InvalidPredictionError),
        (fake.replies(200, b"<html>"), InvalidPredictionError),
        (fake.replies(200, b""), InvalidPredictionError),
        (fake.replies(200, b"[1]"), InvalidPredictionError),
        (fake.replies(200, b'{"predictions": [NaN]}'), InvalidPredictionError),
        (fake.replies(200, {"error": "none"}), InvalidPredictionError),
    ],
    ids=[
        "hangs up",
        "hangs up in the body",
        "stalls",
        "stalls in the body",
        "404",
        "429",
        "503",
        "504",
        "400",
        "500",
        "html",
        "empty",
        "list",
        "not a number",
        "no predictions",
    ],
)
def test_every_fault_becomes_one_error(
    start_fake: StartFake, settings: Settings, answer: fake.Answer, error: type[ClassificationError]
) -> None:
    if answer in (fake.stalls, fake.stalls_in_the_body):
        settings.TF_SERVING_TIMEOUT_S = 0.2
    server = start_fake(answer)
    with pytest.raises(ClassificationError) as caught:
        client.predict(server.url, PAYLOAD)
    assert type(caught.value) is error
    assert server.url not in caught.value.detail


def test_a_refused_connection_means_unavailable() -> None:
    with pytest.raises(ModelServerUnavailableError):
        client.predict("http://127.0.0.1:9/v1/models/m:predict", PAYLOAD)


def test_a_redirect_is_not_followed(start_fake: StartFake) -> None:
    server = start_fake(fake.replies(302, b""))
    with pytest.raises(InvalidPredictionError):
        client.predict(server.url, PAYLOAD)


def test_connections_are_kept_and_reused(start_fake: StartFake) -> None:
    ports = set()

    def answer(handler: fake.Handler) -> None:
        ports.add(handler.client_address[1])
        handler.reply(200, b'{"predictions": [1]}')

    server = start_fake(answer)
    for _ in range(5):
        client.predict(server.url, PAYLOAD)
    assert len(ports) == 1


def test_a_server_that_drips_its_answer_is_not_waited_for_longer_than_the_timeout(
    start_fake: StartFake, settings: Settings
) -> None:
    def drips(handler: fake.Handler) -> None:
        handler.reply(200, b"", content_length=1000)
        while not handler.server.released.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                break

    settings.TF_SERVING_TIMEOUT_S = 0.3
    server = start_fake(drips)
    begin = time.monotonic()
    with pytest.raises(ModelServerTimeoutError):
        client.predict(server.url, PAYLOAD)
    assert time.monotonic() - begin < 300  # the server never stops dripping


def test_a_server_that_accepts_no_connection_is_unavailable_after_the_connect_timeout(settings: Settings) -> None:
    settings.TF_SERVING_CONNECT_TIMEOUT_S, settings.TF_SERVING_TIMEOUT_S = 0.2, 600
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # Linux accepts one more than that, and does not answer later ones
        for _ in range(2):
            silent = waiting.enter_context(socket.socket())
            silent.settimeout(0)
            silent.connect_ex(full.getsockname())
        begin = time.monotonic()
        with pytest.raises(ModelServerUnavailableError):
            client.predict(f"http://127.0.0.1:{full.getsockname()[1]}/", PAYLOAD)
        assert time.monotonic() - begin < 30  # Linux itself tries for two minutes


def test_a_kept_connection_that_the_server_has_closed_costs_no_request(start_fake: StartFake) -> None:
    def answers_once(handler: fake.Handler) -> None:
        handler.reply(200, b'{"predictions": [1]}')
        handler.close_connection = True  # without announcing it

    server = start_fake(answers_once)
    for _ in range(5):
        assert client.predict(server.url, PAYLOAD) == {"predictions": [1]}


def test_threads_that_ask_at_the_same_time_get_their_own_answers(start_fake: StartFake) -> None:
    def echoes(handler: fake.Handler) -> None:
        handler.reply(200, json.dumps({"predictions": handler.path}).encode())

    url = start_fake(echoes).url
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: client.predict(f"{url}/{n}", PAYLOAD), range(200)))
    assert answers == [{"predictions": f"/{n}"} for n in range(200)]


def test_the_environments_proxy_is_not_asked(start_fake: StartFake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server = start_fake(fake.replies(200, {"predictions": [1]}))
    assert client.predict(server.url, PAYLOAD) == {"predictions": [1]}


def test_a_user_and_a_password_in_the_url_are_sent(start_fake: StartFake) -> None:
    def tells(handler: fake.Handler) -> None:
        handler.reply(200, json.dumps({"predictions": handler.headers["Authorization"]}).encode())

    url = start_fake(tells).url.replace("http://", "http://user:pass@")
    assert client.predict(url, PAYLOAD) == {"predictions": "Basic dXNlcjpwYXNz"}


def test_what_a_url_cannot_hold_is_quoted(start_fake: StartFake) -> None:
    server = start_fake(fake.replies(200, {"predictions": [1]}))
    client.predict(f"{server.url}/v1/models/blüten sorten:predict", PAYLOAD)
    client.predict(f"{server.url}/v1/models/a%20b:predict", PAYLOAD)
    paths = [path for path, _ in server.requests]
    assert paths == ["/v1/models/bl%C3%BCten%20sorten:predict", "/v1/models/a%20b:predict"]


def test_other_protocols_than_http_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "predictions"
    file.write_text('{"predictions": []}')
    with pytest.raises(ModelServerUnavailableError):
        client.get(file.as_uri())


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # the fake server's thread
def test_a_forked_process_shares_no_connection(start_fake: StartFake) -> None:
    ports = []

    def notes_the_port(handler: fake.Handler) -> None:
        ports.append(handler.client_address[1])
        handler.reply(200, b'{"predictions": [1]}')

    url = start_fake(notes_the_port).url
    client.predict(url, PAYLOAD)  # as Django's checks do in a Celery worker before it forks
    child = os.fork()
    if child == 0:
        try:
            client.predict(url, PAYLOAD)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    client.predict(url, PAYLOAD)
    of_parent, of_child, of_parent_again = ports
    assert of_child != of_parent == of_parent_again


def test_a_fork_after_a_failed_lookup_does_not_hang() -> None:
    code = """
import os, signal
from moon_vision_challenge import http_client
pool = http_client.Pool([])
try:
    pool.request("http://host.invalid:9/", None, connect_timeout_s=1, timeout_s=1)
except http_client.RequestFailedError:
    pass
if os.fork() == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert result.stdout == "7\n", result.stderr


def test_a_malformed_url_is_unavailable() -> None:
    with pytest.raises(ModelServerUnavailableError):
        client.predict("http://[::1/v1/models/m:predict", PAYLOAD)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (requests.ConnectTimeout(), ModelServerUnavailableError),
        (requests.ReadTimeout(), ModelServerTimeoutError),
        (requests.JSONDecodeError("no JSON", "", 0), InvalidPredictionError),
        (requests.HTTPError("without a response"), ModelServerUnavailableError),
    ],
)
def test_errors_of_classificators_that_use_requests_themselves_are_understood(
    error: requests.RequestException, expected: type[ClassificationError]
) -> None:
    assert type(client.translate_error(error)) is expected
