"""A model server that hangs, and one that is only slow."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from pytest_django import Settings

from moon_vision_challenge.classification.exceptions import ModelServerUnavailableError
from moon_vision_challenge.classification.serving import client, hang
from moon_vision_challenge.classification.serving.hang import HangGuard
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.tests.silent_server import SilentServer


@pytest.fixture(autouse=True)
def _calls_are_late_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hang, "LATE_S", 0.2)


@pytest.fixture
def silent_server() -> Iterator[SilentServer]:
    with SilentServer() as server:
        yield server


def held(guard: HangGuard, release: threading.Event) -> None:
    with guard.call():
        release.wait(LIMIT_S)


def held_calls(guard: HangGuard, release: threading.Event, pool: ThreadPoolExecutor) -> list["Future[None]"]:
    """Start two calls, and return them once they are late."""
    calls = [pool.submit(held, guard, release) for _ in range(hang.MAX_LATE)]
    wait_for(lambda: guard._pending.late >= hang.MAX_LATE, "two late calls")
    return calls


def test_when_two_calls_are_late_the_next_asks_for_the_models_state_and_the_others_ask_nothing(
    silent_server: SilentServer, settings: Settings
) -> None:
    settings.TF_SERVING_TIMEOUT_S, settings.TF_SERVING_CONNECT_TIMEOUT_S = 600, 0.2

    def ask() -> None:
        client.predict(f"http://{silent_server.address}/v1/models/resnet:predict", {"instances": []})

    with ThreadPoolExecutor(2) as pool:
        late = [pool.submit(ask) for _ in range(2)]
        wait_for(lambda: silent_server.connections() == 2, "two calls")
        guard = client._guards[f"http://{silent_server.address}"]
        guard._breaker._open_s = 600
        wait_for(lambda: guard._pending.late >= hang.MAX_LATE, "two late calls")
        with pytest.raises(ModelServerUnavailableError, match="not even report"):
            ask()
        assert silent_server.connections() == 3
        for _ in range(9):
            with pytest.raises(ModelServerUnavailableError, match="not sent"):
                ask()
        assert silent_server.connections() == 3
        assert not any(call.done() for call in late)  # they may take the whole timeout
        silent_server.close()
        assert all(isinstance(call.exception(), ModelServerUnavailableError) for call in late)


def test_a_slow_model_on_a_server_that_answers_is_waited_for() -> None:
    guard, release = HangGuard(lambda: True), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        calls = held_calls(guard, release, pool)
        with guard.call():
            release.set()
        for call in calls:
            call.result()


def test_it_asks_again_after_a_while_and_lets_calls_through_when_the_server_answers() -> None:
    answers = iter([False, False, True])
    guard, release = HangGuard(lambda: next(answers)), threading.Event()
    now_s = 1000.0
    guard._breaker._clock = lambda: now_s
    with ThreadPoolExecutor(2) as pool:
        calls = held_calls(guard, release, pool)
        for _ in range(2):
            with pytest.raises(ModelServerUnavailableError, match="not even report"), guard.call():
                pass
            with pytest.raises(ModelServerUnavailableError, match="not sent"), guard.call():
                pass
            now_s += guard._breaker._open_s
        with guard.call():
            release.set()
        for call in calls:
            call.result()
