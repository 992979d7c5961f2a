"""The catalogue of models in the API."""

import re
import threading
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification import catalogue
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.labels import IMAGENET_LABELS
from moon_vision_challenge.classification.serving import client as tf_serving
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.test_dispatchers import Complete
from moon_vision_challenge.classification.tests.waiting import LIMIT_S
from moon_vision_challenge.conftest import StartFake

MODELS = "/api/v1/models/"
LITE0 = MODELS + "efficientnet_lite0/"


def test_the_catalogue_shows_every_registered_model_and_whether_it_is_ready(client: APIClient) -> None:
    models = {model["model_type"]: model for model in client.get(MODELS).json()}
    assert list(models) == list(dispatcher)
    assert models["efficientnet_lite0"] == {
        "model_type": "efficientnet_lite0",
        "url": "http://testserver/api/v1/models/efficientnet_lite0/",
        "state": "available",
        "is_ready": True,
        "versions": [{"version": 1, "state": "AVAILABLE"}],
        "version_labels": {},
        "input_size": 224,
        "classes_count": 1000,
        "classes": "http://testserver/api/v1/models/efficientnet_lite0/classes/",
        "reason": "",
    }
    assert client.get(LITE0).json() == models["efficientnet_lite0"]


def test_the_class_list_is_what_class_ids_count(client: APIClient) -> None:
    body = client.get(client.get(LITE0).json()["classes"]).json()
    assert body == {"model_type": "efficientnet_lite0", "classes": list(IMAGENET_LABELS)}


@pytest.mark.parametrize("path", ["nothing/", "nothing/classes/", "efficientnet_lite0/more/"])
def test_an_unknown_model_is_404(client: APIClient, path: str) -> None:
    response = client.get(MODELS + path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_the_catalogue_is_for_reading_only(client: APIClient, method: str) -> None:
    assert getattr(client, method)(MODELS).status_code == 405


@pytest.mark.parametrize(
    ("status", "state", "is_ready"),
    [
        (fake.has_versions(2, 1), "available", True),
        (fake.has_versions(1, state="LOADING"), "loading", False),
        (fake.has_versions(1, state="START"), "loading", False),
        (fake.has_versions(1, state="END"), "unavailable", False),
        (fake.has_versions(), "unavailable", False),
        (fake.replies(404, {"error": "Could not find any versions of model"}), "unavailable", False),
        (fake.replies(503, {}), "unknown", False),
        (fake.replies(200, b"nonsense"), "unknown", False),
        (fake.replies(200, {"model_version_status": [{"version": "x"}]}), "unknown", False),
        (fake.hangs_up, "unknown", False),
    ],
)
def test_the_state_is_what_the_model_server_says(
    client: APIClient, start_fake: StartFake, status: fake.Answer, state: str, is_ready: bool
) -> None:
    start_fake(status)
    response = client.get(LITE0)
    assert response.status_code == 200
    assert (response.json()["state"], response.json()["is_ready"]) == (state, is_ready)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (fake.has_versions(1, state="END", error_message="onnxruntime cannot load it"), "onnxruntime cannot load it"),
        (fake.has_versions(2, 1, error_message="model.onnx changed"), "model.onnx changed"),
        (fake.has_versions(1, state="END", error_message="x" * 10_000), "x" * 500),
        (fake.has_versions(1, state="LOADING"), ""),
        (fake.replies(404, {"error": "cannot read models/lite"}), "cannot read models/lite"),
        (fake.replies(404, b"a page"), ""),
        (fake.replies(404, b"[]"), ""),
        (fake.replies(200, {"model_version_status": [{"version": "1", "state": "END", "status": 7}]}), ""),
        (fake.replies(200, {"model_version_status": ["1"]}), ""),
        (fake.replies(503, {"error": "busy"}), ""),
    ],
)
def test_the_reason_is_what_the_model_server_says(
    client: APIClient, start_fake: StartFake, status: fake.Answer, reason: str
) -> None:
    start_fake(status)
    response = client.get(LITE0)
    assert (response.status_code, response.json()["reason"]) == (200, reason)


def test_versions_come_newest_first(client: APIClient, start_fake: StartFake) -> None:
    start_fake(fake.has_versions(2, 10, 1))
    assert [one["version"] for one in client.get(LITE0).json()["versions"]] == [10, 2, 1]


def test_version_labels_are_those_of_models_config(client: APIClient, settings: Settings, tmp_path: Path) -> None:
    settings.MODELS_CONFIG = str(tmp_path / "models.config")
    assert client.get(LITE0).json()["version_labels"] == {}
    (tmp_path / "models.config").write_text(
        "model_config_list { config { name: 'efficientnet_lite0' base_path: '/m'"
        " version_labels { key: 'stable' value: 1 } version_labels { key: 'canary' value: 2 } } }"
    )
    assert client.get(LITE0).json()["version_labels"] == {"stable": 1, "canary": 2}


def test_a_classificator_with_three_hooks_is_in_the_catalogue_with_what_is_known(
    client: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(dispatcher._classificators, "complete", Complete())  # type: ignore[attr-defined]  # this test's dispatcher is the default one
    shown = client.get(MODELS + "complete/").json()
    assert (shown["state"], shown["input_size"], shown["classes_count"], shown["classes"]) == (
        "unavailable",
        None,
        None,
        None,
    )
    assert client.get(MODELS + "complete/classes/").status_code == 404


@pytest.mark.parametrize("is_up", [True, False])
def test_the_catalogue_answers_in_milliseconds_from_memory(
    client: APIClient, start_fake: StartFake, settings: Settings, is_up: bool
) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_CLASSES": []}
    server = start_fake(fake.has_versions(1))
    if not is_up:
        settings.TF_SERVING_URL = "http://127.0.0.1:9"
    client.get(MODELS)
    asked = len(server.asked)
    times_s = []
    with patch.object(tf_serving, "get", side_effect=AssertionError("it asks the model server")):
        for _ in range(20):
            started = time.process_time()
            states = {model["state"] for model in client.get(MODELS).json()}
            times_s.append(time.process_time() - started)
            assert states == ({"available"} if is_up else {"unknown"})
    assert len(server.asked) == asked
    assert sorted(times_s)[10] < 0.05  # CPU time, which does not depend on other processes


def test_the_catalogue_asks_again_after_some_seconds(
    client: APIClient, start_fake: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    server = start_fake(fake.has_versions(1))
    assert catalogue.get_model("resnet").is_ready
    server.answer = fake.replies(404, {})
    assert catalogue.get_model("resnet").is_ready
    now += metadata.VERSIONS_TTL_S + 0.1
    assert not catalogue.get_model("resnet").is_ready


def test_a_model_server_that_hangs_costs_one_timeout_whatever_the_number_of_models(
    client: APIClient, start_fake: StartFake, settings: Settings
) -> None:
    all_have_asked = threading.Barrier(3)

    def answers_when_all_have_asked(handler: fake.Handler) -> None:
        all_have_asked.wait(LIMIT_S)  # a request that waits for another to end never gets an answer
        fake.has_versions(1)(handler)

    server = start_fake(answers_when_all_have_asked)
    states = {model["state"] for model in client.get(MODELS).json()}
    assert (states, len(list(dispatcher))) == ({"available"}, 3)
    server.answer = fake.stalls
    settings.TF_SERVING_CONNECT_TIMEOUT_S = 0.3
    metadata.statuses.clear()
    for _ in range(2):  # the second answer comes from memory
        assert {model["state"] for model in client.get(MODELS).json()} == {"unknown"}
        assert len(server.asked) == 6


@pytest.mark.parametrize(
    ("status", "body", "available"),
    [
        (200, {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}, True),
        (
            200,
            {"model_version_status": [{"version": "1", "state": "END"}, {"version": "2", "state": "AVAILABLE"}]},
            True,
        ),
        (200, {"model_version_status": [{"version": "1", "state": "LOADING"}]}, False),
        (200, {}, False),
        (404, {"error": "Could not find any versions of model"}, False),
    ],
)
def test_a_model_is_ready_if_one_version_is_available(
    start_fake: StartFake, status: int, body: object, available: bool
) -> None:
    start_fake(fake.replies(status, body))
    assert catalogue.get_model("resnet").is_ready is available


@pytest.mark.parametrize("path", ["", "efficientnet_lite0/", "efficientnet_lite0/classes/"])
def test_what_has_not_changed_is_not_sent_again(client: APIClient, path: str) -> None:
    first = client.get(f"/api/v1/models/{path}")
    assert re.fullmatch("private, max-age=[0-9]+", first["Cache-Control"])
    assert "Authorization" in first["Vary"]
    again = client.get(f"/api/v1/models/{path}", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert client.get(f"/api/v1/models/{path}", headers={"If-None-Match": '"x"'}).content == first.content
