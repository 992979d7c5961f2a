"""v0 and v1 through Django's test client. A fake model server is used where a test needs a fault or a fixed answer."""

import base64
import math
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification.queue import backlog, batch, worker
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.posting import V0, V1, assert_is_json_without_secrets, post
from moon_vision_challenge.conftest import StartFake

pytestmark = pytest.mark.usefixtures("sent")


def test_v0_answers_with_the_label_and_touches_no_database(
    client: APIClient, start_fake: StartFake, jpeg: bytes
) -> None:
    start_fake(fake.predicts(281))
    response = post(client, V0, jpeg)  # without the django_db mark, any query is an error
    assert (response.status_code, response.json()) == (200, {"label": "tabby"})


@pytest.mark.parametrize(
    "encode",
    [
        lambda data: base64.b64encode(data).decode(),
        pictures.data_uri,
        lambda data: base64.encodebytes(data).decode(),
        lambda data: pictures.data_uri(data).replace("image/jpeg", 'IMAGE/JPEG; name="a, b.jpg"; charset=UTF-8'),
        lambda data: quote(base64.b64encode(data).decode(), safe=""),
    ],
    ids=["base64", "data URI", "base64 with line breaks", "data URI with parameters", "URL-encoded base64"],
)
def test_v0_takes_the_image_as_text_in_json(client: APIClient, start_fake: StartFake, jpeg: bytes, encode: Any) -> None:
    start_fake(fake.predicts(281))
    response = client.post(V0, {"model_type": "resnet", "image": encode(jpeg)}, format="json")
    assert (response.status_code, response.json()) == (200, {"label": "tabby"})


@pytest.mark.parametrize(
    "part",
    [
        ("m.txt", b"resnet\r\n", "text/plain"),  # curl -F model_type=@file
        ("m.txt", b"\xef\xbb\xbfresnet", "application/octet-stream"),
    ],
)
def test_v0_takes_the_model_type_from_a_file(
    client: APIClient, start_fake: StartFake, jpeg: bytes, part: tuple[str, bytes, str]
) -> None:
    start_fake(fake.predicts(281))
    response = client.post(V0, {"model_type": SimpleUploadedFile(*part), "image": pictures.upload(jpeg)})
    assert (response.status_code, response.json()) == (200, {"label": "tabby"})


@pytest.mark.django_db
def test_v1_answers_with_a_pending_row_and_queues_it(
    client: APIClient,
    sent: list[int],
    jpeg: bytes,
    django_assert_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "_FRESH_S", math.inf)
    backlog.check_capacity()  # the request does not count the waiting rows again
    with django_assert_num_queries(1):
        response = post(client, V1, jpeg)
    body = response.json()
    assert response.status_code == 201
    assert list(body)[:5] == ["id", "model_type", "image", "label", "status"]
    assert (body["model_type"], body["label"], body["status"], body["error"]) == (
        "efficientnet_lite0",
        "",
        "pending",
        None,
    )
    assert body["image"].startswith("http://testserver/media/inferences/")
    assert response["Location"] == f"http://testserver{V1}{body['id']}/"
    assert sent == [body["id"]]


@pytest.mark.django_db
def test_v1_get_shows_the_row_as_it_is_now(client: APIClient, start_fake: StartFake, jpeg: bytes) -> None:
    start_fake(fake.predicts(281))
    created = post(client, V1, jpeg).json()
    batch.run(worker.claim_batch(queue="inferences"))
    shown = client.get(f"{V1}{created['id']}/").json()
    assert (shown["status"], shown["label"], shown["attempts"]) == ("done", "tabby", 1)
    assert {key: shown[key] for key in ("id", "model_type", "image")} == {
        key: created[key] for key in ("id", "model_type", "image")
    }
    assert shown["created_at"] <= shown["started_at"] <= shown["finished_at"]


@pytest.mark.django_db
def test_v1_shows_why_a_row_failed(client: APIClient, start_fake: StartFake, jpeg: bytes, settings: Settings) -> None:
    settings.INFERENCE_MAX_OUTAGE_S = 0
    start_fake(fake.replies(404, {"error": "Servable not found for request: Latest(efficientnet_lite0)"}))
    created = post(client, V1, jpeg).json()
    batch.run(worker.claim_batch(queue="inferences"))
    response = client.get(f"{V1}{created['id']}/")
    assert (response.json()["status"], response.json()["error"]["code"]) == ("fail", "model_not_available")
    assert_is_json_without_secrets(response)


@pytest.mark.django_db
def test_the_image_url_returns_the_uploaded_bytes_unchanged(client: APIClient, jpeg: bytes) -> None:
    response = client.get(post(client, V1, jpeg).json()["image"])
    assert response.getvalue() == jpeg
    assert response["Content-Type"] == "image/jpeg"
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.django_db
def test_a_stored_file_is_named_by_what_it_is_not_by_what_the_client_said(client: APIClient) -> None:
    evil = pictures.upload(pictures.photo("PNG"), name="../../page.html")
    body = client.post(V1, {"model_type": "resnet", "image": evil}).json()
    assert urlsplit(body["image"]).path.endswith(".png")
    assert "page" not in body["image"]
