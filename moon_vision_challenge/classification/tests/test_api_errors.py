"""Faults of the model server, the database, and the service itself: each gets an answer in JSON."""

import itertools
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError
from pytest_django import Settings
from rest_framework.test import APIClient

from chaos.corpus import CASES
from moon_vision_challenge.classification import services
from moon_vision_challenge.classification.images.budget import memory
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.posting import V0, V1, assert_is_json_without_secrets, post
from moon_vision_challenge.conftest import StartFake

pytestmark = pytest.mark.usefixtures("sent")

FAULTS = [
    (fake.hangs_up, 503, "model_server_unavailable"),
    (fake.replies(503, {"error": "busy"}), 503, "model_server_unavailable"),
    (fake.replies(404, {"error": "Servable not found"}), 503, "model_not_available"),
    (fake.stalls, 504, "model_server_timeout"),
    (fake.replies(200, b"nonsense"), 502, "invalid_prediction"),
    (fake.replies(400, {"error": "a host named tensorflow-serving"}), 502, "invalid_prediction"),
    (fake.predicts(1, classes=7), 502, "invalid_prediction"),
]


@pytest.mark.parametrize(("answer", "status", "code"), FAULTS)
def test_v0_tells_a_fault_of_the_model_server_in_its_own_words(
    client: APIClient, start_fake: StartFake, jpeg: bytes, settings: Settings, answer: Any, status: int, code: str
) -> None:
    if answer is fake.stalls:
        settings.TF_SERVING_TIMEOUT_S = 0.2
    start_fake(answer)
    response = post(client, V0, jpeg)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.has_header("Retry-After") == (status == 503)
    assert_is_json_without_secrets(response)


@pytest.mark.parametrize(
    ("status", "detail", "retry_after"),
    [
        (fake.has_versions(1, state="LOADING"), "is loading this model. Try again later.", "5"),
        (
            fake.has_versions(1, state="END", error_message="/models: damaged"),
            "could not load this model. Choose",
            "60",
        ),
        (fake.replies(404, {"error": "/models: missing"}), "does not serve this model. Choose another", "60"),
        (fake.has_versions(1), "does not serve this model now. Try again later", "5"),
        (fake.hangs_up, "does not serve this model now. Try again later", "5"),
    ],
)
def test_v0_says_why_a_model_is_not_available_and_whether_to_try_again(
    client: APIClient, start_fake: StartFake, jpeg: bytes, status: fake.Answer, detail: str, retry_after: str
) -> None:
    server = start_fake(fake.replies(404, {"error": "Servable not found"}))
    server.status = status
    response = post(client, V0, jpeg)
    assert (response.status_code, response.json()["code"]) == (503, "model_not_available")
    assert detail in response.json()["detail"]
    assert ("ry again" in response.json()["detail"]) == (retry_after == "5")
    assert response["Retry-After"] == retry_after
    assert "/models" not in response.content.decode()


@pytest.mark.parametrize(
    ("versions", "detail"),
    [
        (fake.has_versions(1), "does not serve this version of the model. Request another version."),
        (fake.has_versions(7, state="LOADING"), "is loading this model. Try again later."),
    ],
)
def test_v0_says_why_a_version_is_not_available(
    client: APIClient, start_fake: StartFake, jpeg: bytes, versions: fake.Answer, detail: str
) -> None:
    server = start_fake(fake.replies(404, {"error": "Servable not found"}))
    server.status = versions
    response = post(client, V0 + "?version=7", jpeg)
    assert (response.status_code, response.json()["code"]) == (503, "model_version_not_available")
    assert detail in response.json()["detail"]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["999999999/", "99999999999999999999999999/", "abc/", "-1/", "\u0661/", "1/extra/"])
def test_an_unknown_inference_is_404_as_json(client: APIClient, path: str) -> None:
    response = client.get(V1 + path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"), list(itertools.product(["get", "post"], ["/api/", "/api/v2/", "/api/v0/inferences"]))
)
def test_an_unknown_address_is_404_as_json(client: APIClient, method: str, path: str) -> None:
    for csrf in (False, True):
        response = getattr(APIClient(enforce_csrf_checks=csrf), method)(path)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_a_foreign_host_is_400_as_json(client: APIClient) -> None:
    response = client.get("/api/v1/inferences/1/", HTTP_HOST="evil.example")
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


def test_a_database_that_is_away_is_503(client: APIClient, jpeg: bytes) -> None:
    with patch.object(services, "create_inference", side_effect=OperationalError("host 10.0.0.1 refused")):
        response = post(client, V1, jpeg)
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert response.has_header("Retry-After")
    assert "10.0.0.1" not in response.content.decode()


@pytest.mark.parametrize("debug", [False])
def test_a_mistake_of_ours_is_500_as_json(client: APIClient, jpeg: bytes, debug: bool) -> None:
    with patch.object(services, "classify_image", side_effect=ZeroDivisionError("a secret")):
        response = post(client, V0, jpeg)
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "secret" not in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("url", [V0, V1])
@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("jpeg: lossless", "A lossless JPEG is not accepted"),
        ("jpeg: 1,000 empty scans of 4000 x 3000", "INFERENCE_MAX_DECODE_CPU_S"),
        ("webp: 16,383 x 3,050 of one colour", "INFERENCE_MAX_DECODE_BYTES"),
        ("gif: 5 million comments", "INFERENCE_MAX_IMAGE_PARTS"),
        ("other: JPEG XL", "JPEG XL, which is not accepted"),
    ],
)
def test_a_refusal_says_why_in_both_versions(client: APIClient, url: str, case: str, reason: str) -> None:
    [data] = [known.make() for known in CASES if known.name == case]
    response = post(client, url, data)
    assert response.status_code == 400
    assert reason in response.json()["image"][0]
    assert_is_json_without_secrets(response)


@pytest.mark.django_db
@pytest.mark.parametrize("url", [V0, V1])
def test_without_memory_for_an_image_the_answer_is_503(
    client: APIClient, url: str, jpeg: bytes, settings: Settings
) -> None:
    settings.INFERENCE_DECODE_MEMORY_BYTES, settings.INFERENCE_DECODE_WAIT_S = 1, 0.01
    with memory.reserve(1):
        response = post(client, url, jpeg)
    assert (response.status_code, response.json()["code"]) == (503, "decoder_busy")
    assert int(response["Retry-After"]) > 0
