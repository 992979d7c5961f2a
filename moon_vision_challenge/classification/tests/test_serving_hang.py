"""A model server that hangs, and one that is only slow."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from pytest_django import Settings

from moon_vision_challenge.classification.exceptions import ModelServerUnavailableError
from moon_vision_challenge.classification.serving import client, hang
from moon_vision_challenge.classification.serving.hang import HangGuard


@pytest.fixture(autouse=True)
def _calls_are_late_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hang, "LATE_S", 0.2)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """It takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1/models/resnet:predict"


def held(guard: HangGuard, release: threading.Event) -> None:
    with guard.call():
        release.wait(30)


def held_calls(guard: HangGuard, release: threading.Event, pool: ThreadPoolExecutor) -> list["Future[None]"]:
    """Two calls that are late."""
    calls = [pool.submit(held, guard, release) for _ in range(hang.MAX_LATE)]
    time.sleep(2 * hang.LATE_S)  # they are late by then
    return calls


def test_when_two_calls_are_late_the_others_are_refused_after_a_second_and_then_at_once(
    silent_server: str, settings: Settings
) -> None:
    settings.TF_SERVING_TIMEOUT_S = 4

    def ask() -> float:
        begin = time.monotonic()
        with pytest.raises(Exception, match=r"hang|time"):
            client.predict(silent_server, {"instances": []})
        return time.monotonic() - begin

    with ThreadPoolExecutor(2) as pool:
        late = [pool.submit(ask) for _ in range(2)]
        time.sleep(2 * hang.LATE_S)  # they are late by then
        lasted_s = [ask() for _ in range(10)]
        assert lasted_s[0] < 1.5  # it asks for the model's state
        assert max(lasted_s[1:]) < 0.1
        assert all(3.9 < call.result() < 5.5 for call in late)


def test_a_slow_model_on_a_server_that_answers_is_waited_for() -> None:
    guard, release = HangGuard(lambda: True), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        calls = held_calls(guard, release, pool)
        with guard.call():
            release.set()
        for call in calls:
            call.result()


def test_it_asks_again_after_a_while_and_lets_calls_through_when_the_server_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([False, False, True])
    guard, release = HangGuard(lambda: next(answers)), threading.Event()
    monkeypatch.setattr(guard._breaker, "_open_s", 0.1)
    with ThreadPoolExecutor(2) as pool:
        calls = held_calls(guard, release, pool)
        for _ in range(2):
            with pytest.raises(ModelServerUnavailableError, match="not even tell"), guard.call():
                pass
            with pytest.raises(ModelServerUnavailableError, match="not asked"), guard.call():
                pass
            time.sleep(0.15)  # until the breaker lets one through
        with guard.call():
            release.set()
        for call in calls:
            call.result()
