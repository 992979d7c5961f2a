"""Requests whose body is the image itself: `Content-Type: image/jpeg`, with the other fields in the query."""

import gzip
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.posting import V0, V1
from moon_vision_challenge.conftest import StartFake

pytestmark = pytest.mark.usefixtures("sent")

QUERY = "?model_type=efficientnet_lite0"


def post(
    client: APIClient, url: str, data: bytes, content_type: str = "image/jpeg", headers: dict[str, str] | None = None
) -> Any:
    return client.generic("POST", url, data, content_type, headers=headers)  # type: ignore[arg-type]  # also bytes


@pytest.mark.parametrize(
    "content_type",
    [
        "image/jpeg",
        "image/png",
        "IMAGE/JPEG",
        "image/jpeg; charset=binary",
        "image/x-unknown",
        "application/octet-stream",
    ],
)
def test_v0_takes_the_image_as_the_body(
    client: APIClient, start_fake: StartFake, jpeg: bytes, content_type: str
) -> None:
    start_fake(fake.predicts(281))
    response = post(client, V0 + QUERY, jpeg, content_type)
    assert (response.status_code, response.json()) == (200, {"label": "tabby"})


def test_the_other_options_are_in_the_query(client: APIClient, start_fake: StartFake, jpeg: bytes) -> None:
    start_fake(fake.predicts(281))
    assert len(post(client, f"{V0}{QUERY}&top_k=2", jpeg).json()["predictions"]) == 2
    assert set(post(client, f"{V0}{QUERY}&top_k=0", jpeg).json()) == {"top_k"}


@pytest.mark.django_db
def test_v1_stores_the_body_as_it_came(client: APIClient, jpeg: bytes, sent: list[int]) -> None:
    response = post(client, V1 + QUERY, jpeg, "application/octet-stream")
    row = response.json()
    assert (response.status_code, row["model_type"], sent) == (201, "efficientnet_lite0", [row["id"]])
    assert Inference.objects.get().image.read() == jpeg
    assert row["image"].partition("?")[0].endswith(".jpg")


@pytest.mark.parametrize("url", [V0, V1])
@pytest.mark.parametrize(
    ("query", "body", "fields"),
    [
        ("", b"\xff\xd8\xff", {"model_type", "image"}),
        ("?model_type=dogs", pictures.photo("JPEG"), {"model_type"}),
        (QUERY, b"", {"image"}),
        (QUERY, b"text", {"image"}),
        (QUERY, pictures.photo("JPEG")[:1000], {"image"}),
        (f"{QUERY}&image_url=https://example.com/a.jpg", pictures.photo("JPEG"), {"image_url"}),
    ],
)
def test_what_is_wrong_is_400_on_the_field(
    client: APIClient, url: str, query: str, body: bytes, fields: set[str]
) -> None:
    response = post(client, url + query, body)
    assert (response.status_code, set(response.json())) == (400, fields)


@pytest.mark.parametrize("url", [V0, V1])
@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/pdf", "video/mp4", "", "application/x-www-form-urlencoded"]
)
def test_another_type_is_415_and_says_what_to_send(client: APIClient, url: str, jpeg: bytes, content_type: str) -> None:
    response = post(client, url + QUERY, jpeg, content_type)
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert "image/jpeg" in response.json()["detail"]


@pytest.mark.parametrize("url", [V0, V1])
def test_a_body_above_the_limit_is_413(client: APIClient, url: str, jpeg: bytes, settings: Settings) -> None:
    settings.INFERENCE_MAX_IMAGE_BYTES = len(jpeg) - 1
    response = post(client, url + QUERY, jpeg)
    assert (response.status_code, response.json()["code"]) == (413, "request_too_large")


def test_a_compressed_body_is_unpacked(client: APIClient, start_fake: StartFake, jpeg: bytes) -> None:
    start_fake(fake.predicts(281))
    response = post(client, V0 + QUERY, gzip.compress(jpeg), headers={"Content-Encoding": "gzip"})
    assert (response.status_code, response.json()) == (200, {"label": "tabby"})


@pytest.mark.django_db
def test_a_key_belongs_to_the_request_however_its_image_is_sent(client: APIClient, jpeg: bytes) -> None:
    key = {"Idempotency-Key": "k-1"}
    form = {"model_type": "efficientnet_lite0", "image": pictures.upload(jpeg)}
    first, second = post(client, V1 + QUERY, jpeg, headers=key), client.post(V1, form, headers=key)
    other = post(client, V1 + QUERY, pictures.photo("PNG"), "image/png", headers=key)
    assert (first.status_code, second.status_code, other.status_code) == (201, 200, 422)
    assert first.json()["id"] == second.json()["id"]
