"""Invalid requests to v0 and v1, and the answers to them."""

from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.posting import V0, V1, assert_is_json_without_secrets, post

pytestmark = pytest.mark.usefixtures("sent")

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
        assert (response.status_code, list(response.json())) == (400, ["model_type"])  # no error for the image

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
