"""v0 and v1 over Django's test client. The model server is a fake where a fault or a fixed answer is wanted."""

import base64
import itertools
import math
from typing import Any
from unittest.mock import patch
from urllib.parse import quote, urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.test import APIClient

from chaos.corpus import CASES
from moon_vision_challenge.classification import services, tasks
from moon_vision_challenge.classification.images.budget import memory
from moon_vision_challenge.classification.queue import backlog, batch, worker
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.conftest import StartFake

V0 = "/api/v0/inferences/"
V1 = "/api/v1/inferences/"


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids that would have been sent to the queue; the real queue is in test_queue.py."""
    ids: list[int] = []
    monkeypatch.setattr(tasks, "enqueue_inference", lambda inference: ids.append(inference.pk))
    return ids


def post(client: APIClient, url: str, data: bytes, model_type: str = "efficientnet_lite0") -> Any:
    return client.post(url, {"model_type": model_type, "image": pictures.upload(data)})


def assert_is_json_without_secrets(response: Any) -> None:
    assert response["Content-Type"] == "application/json"
    for secret in ("<html", "Traceback", "127.0.0.1", "tensorflow-serving", "/site-packages/"):
        assert secret not in response.content.decode()


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
    backlog.check_capacity()  # the waiting rows are not counted again
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


_FIELD = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1'
CUT_SHORT = {
    "nothing": b"",
    "cut in a header": _FIELD[:20],
    "cut in a value": _FIELD,
    "cut before the last boundary": _FIELD + b"\r\n",
    "cut in the last boundary": _FIELD + b"\r\n--b",
    "no Content-Disposition": b"--b\r\nContent-Type: image/jpeg\r\n\r\n1\r\n--b--",
    "long header": b"--b\r\nX-Header: " + b"x" * 10_000 + b"\r\n\r\n1\r\n--b--",
}


@pytest.mark.parametrize("url", [V0, V1])
class TestBadInput:
    @pytest.mark.parametrize("data", pictures.UNREADABLE.values(), ids=pictures.UNREADABLE.keys())
    def test_a_damaged_image_is_400_on_image(self, client: APIClient, url: str, data: bytes) -> None:
        response = post(client, url, data)
        assert (response.status_code, list(response.json())) == (400, ["image"])
        assert_is_json_without_secrets(response)

    def test_an_empty_file_is_400_on_image(self, client: APIClient, url: str) -> None:
        response = post(client, url, b"")
        assert (response.status_code, list(response.json())) == (400, ["image"])

    def test_a_bomb_is_400_on_image(self, client: APIClient, url: str) -> None:
        response = post(client, url, pictures.png_bomb(20_000, 20_000))
        assert (response.status_code, list(response.json())) == (400, ["image"])
        assert "too many pixels" in response.json()["image"][0]

    def test_missing_fields_are_400_on_both(self, client: APIClient, url: str) -> None:
        for body in ({}, {"picture": "x", "model": "resnet"}):
            response = client.post(url, body, format="json")
            assert (response.status_code, set(response.json())) == (400, {"model_type", "image"})

    def test_an_unknown_model_type_is_400_on_model_type(self, client: APIClient, url: str, jpeg: bytes) -> None:
        response = post(client, url, jpeg, model_type="no-such-model")
        assert (response.status_code, list(response.json())) == (400, ["model_type"])

    @pytest.mark.parametrize(
        "value", ["no base64!", "data:image/jpeg,plain", "data:,", "", None, 5, [], {"b64": "x"}, True, "é"]
    )
    def test_an_image_that_is_not_base64_text_is_400_on_image(self, client: APIClient, url: str, value: object) -> None:
        response = client.post(url, {"model_type": "resnet", "image": value}, format="json")
        assert (response.status_code, list(response.json())) == (400, ["image"])

    @pytest.mark.parametrize("field", ["image", "model_type"])
    def test_a_field_that_is_sent_twice_is_400_on_that_field(
        self, client: APIClient, url: str, jpeg: bytes, field: str
    ) -> None:
        body: dict[str, Any] = {"model_type": "resnet", "image": pictures.upload(jpeg)}
        body[field] = ["resnet"] * 2 if field == "model_type" else [pictures.upload(jpeg), pictures.upload(jpeg)]
        response = client.post(url, body, format="multipart")
        assert response.json() == {field: ["Send this field once. The request has it 2 times."]}
        assert response.status_code == 400

    def test_a_missing_field_names_those_that_are_not_known(self, client: APIClient, url: str, jpeg: bytes) -> None:
        body = {"model": "resnet", "Image": pictures.upload(jpeg)}
        for sent in (body, {"model": "resnet", "Image": "x"}):
            response = client.post(url, sent, format="multipart" if sent is body else "json")
            assert response.status_code == 400
            assert [told[0].endswith("not known: model, Image.") for told in response.json().values()] == [True, True]
        response = client.post(url, {f"{'x' * 999}{number}": "" for number in range(12)}, format="multipart")
        assert response.json()["image"][0].endswith("..., ....")

    def test_an_image_of_another_json_type_is_told_what_to_send(self, client: APIClient, url: str) -> None:
        for value in (None, 5, True, [1, 2], {"type": "Buffer", "data": [1]}):
            response = client.post(url, {"model_type": "resnet", "image": value}, format="json")
            assert response.json() == {"image": ["Send a file, base64 text, or a data URI with base64 text."]}

    @pytest.mark.parametrize("value", [None, 5, [], {}, "", "\x00", "res\nnet"])
    def test_a_model_type_that_is_not_a_choice_is_400_on_model_type(
        self, client: APIClient, url: str, value: object, jpeg: bytes
    ) -> None:
        response = client.post(url, {"model_type": value, "image": pictures.data_uri(jpeg)}, format="json")
        assert (response.status_code, list(response.json())) == (400, ["model_type"])

    @pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"nul", b"[" * 100_000, b'{"a":' * 100_000])
    def test_malformed_json_is_400(self, client: APIClient, url: str, body: bytes) -> None:
        response = client.post(url, body, content_type="application/json")
        assert (response.status_code, response.json()["code"]) == (400, "malformed_body")
        assert_is_json_without_secrets(response)

    @pytest.mark.parametrize("body", [b"[1]", b'"text"', b"null", b"7"])
    def test_json_other_than_an_object_is_400(self, client: APIClient, url: str, body: bytes) -> None:
        response = client.post(url, body, content_type="application/json")
        assert response.status_code == 400
        assert body == b"null" or "Send a JSON object" in response.json()["non_field_errors"][0]
        assert_is_json_without_secrets(response)

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=", b"x"),
            (
                "multipart/form-data; boundary=b",
                b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 50 + b"--b--",
            ),
            (
                "multipart/form-data; boundary=b",
                b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n1\r\n' * 50 + b"--b--",
            ),
            (
                "multipart/form-data; boundary=b",
                b'--b\r\nContent-Disposition: form-data; name="image"; filename="f"\r\n'
                b"Content-Transfer-Encoding: base64\r\n\r\n!\r\n--b--",
            ),
            *(("multipart/form-data; boundary=b", body) for body in CUT_SHORT.values()),
        ],
        ids=["no boundary", "empty boundary", "many fields", "many files", "broken transfer encoding", *CUT_SHORT],
    )
    def test_malformed_multipart_is_400(self, client: APIClient, url: str, content_type: str, body: bytes) -> None:
        response = client.post(url, body, content_type=content_type)
        assert response.status_code == 400
        assert_is_json_without_secrets(response)

    @pytest.mark.parametrize(
        "disposition",
        [
            b'form-data; name="image"; filename="a photo.jpg"',
            b'form-data; name="image"; filename="\xd1\x84\xd0\xbe\xd1\x82\xd0\xbe.jpg"',
            b"form-data; name=\"image\"; filename*=UTF-8''%D1%84.jpg",
            b"form-data; name=image; filename=photo.jpg",
            b'form-data; filename="x/../y.jpg"; name="image"',
        ],
    )
    def test_a_file_is_found_however_its_name_is_written(
        self, client: APIClient, url: str, disposition: bytes, jpeg: bytes
    ) -> None:
        model_type = b'Content-Disposition: form-data; name="model_type"\r\n\r\nunknown'
        body = b"--b\r\n" + model_type + b"\r\n--b\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + jpeg
        response = client.post(url, body + b"\r\n--b--\r\n", content_type="multipart/form-data; boundary=b")
        assert (response.status_code, list(response.json())) == (400, ["model_type"])  # nothing against the image

    def test_a_file_field_that_was_left_empty_is_missing(self, client: APIClient, url: str) -> None:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="image"; filename=""\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n\r\n--b--\r\n"
        )
        response = client.post(url, body, content_type="multipart/form-data; boundary=b")
        assert (response.status_code, set(response.json())) == (400, {"model_type", "image"})

    def test_another_content_type_is_415(self, client: APIClient, url: str) -> None:
        response = client.post(url, b"x", content_type="text/plain")
        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")

    @pytest.mark.parametrize("content_type", ["Application/JSON; charset=utf-8", " application/json ;x"])
    def test_a_content_type_may_be_written_in_other_ways(self, client: APIClient, url: str, content_type: str) -> None:
        response = client.post(url, b"{}", content_type=content_type)
        assert (response.status_code, set(response.json())) == (400, {"model_type", "image"})

    @pytest.mark.parametrize("content_type", ["", ";", "json", "multipart/form-data-x", "application/*", "x" * 5000])
    def test_an_unknown_content_type_is_415(self, client: APIClient, url: str, content_type: str) -> None:
        response = client.generic("POST", url, "{}", content_type=content_type)
        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")

    @pytest.mark.parametrize("accept", ["text/html", "application/json; indent=8", "*", "image/png;q=", ","])
    def test_the_answer_is_json_for_every_accept_header(self, client: APIClient, url: str, accept: str) -> None:
        response = client.post(f"{url}?format=xml", b"{}", content_type="application/json", HTTP_ACCEPT=accept)
        assert (response.status_code, response["Content-Type"]) == (400, "application/json")

    def test_an_image_above_the_size_limit_is_413(
        self, client: APIClient, url: str, jpeg: bytes, settings: Settings
    ) -> None:
        settings.INFERENCE_MAX_IMAGE_BYTES = len(jpeg) - 1
        for response in (
            post(client, url, jpeg),
            client.post(url, {"model_type": "resnet", "image": pictures.data_uri(jpeg)}, format="json"),
        ):
            assert (response.status_code, response.json()["code"]) == (413, "request_too_large")

    def test_a_body_above_the_size_limit_is_413(self, client: APIClient, url: str) -> None:
        response = post(client, url, bytes(50_000_000))
        assert (response.status_code, response.json()["code"]) == (413, "request_too_large")

    def test_a_length_that_is_not_a_number_is_400(self, client: APIClient, url: str) -> None:
        response = client.generic("POST", url, "{}", content_type="application/json", CONTENT_LENGTH="many")
        assert response.status_code == 400

    def test_a_body_without_a_length_is_411(self, client: APIClient, url: str) -> None:
        response = client.generic("POST", url, HTTP_TRANSFER_ENCODING="chunked")
        assert (response.status_code, response.json()["code"]) == (411, "length_required")

    @pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
    def test_a_collection_allows_post_and_options_only(self, client: APIClient, url: str, method: str) -> None:
        response = getattr(client, method)(url)
        assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")
        assert response.json()["code"] == "method_not_allowed"

    def test_options_shows_the_signature(self, client: APIClient, url: str) -> None:
        fields = client.options(url).json()["actions"]["POST"]
        assert fields["image"] == {"type": "file upload", "required": True, "read_only": False, "label": "Image"}
        assert (fields["label"]["type"], fields["label"]["read_only"]) == ("string", True)
        model_type = fields["model_type"]
        assert (model_type["type"], model_type["required"], model_type["label"]) == ("choice", True, "Model type")
        assert {"value": "resnet", "display_name": "resnet"} in model_type["choices"]


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
