"""URLs of images: signed, the same within a time window, and useless after it."""

from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification.media_store import signed_urls
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.posting import V1
from moon_vision_challenge.tests.clock import Clock

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("sent")]


@pytest.fixture
def clock(settings: Settings) -> Clock:
    settings.MEDIA_URL_VALID_S = 3600
    return Clock()


@pytest.fixture
def created(client: APIClient, jpeg: bytes, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> dict[str, Any]:
    """A row. The clock shows the time of its creation."""
    response = client.post(V1, {"model_type": "resnet", "image": pictures.upload(jpeg)})
    clock.now_s = Inference.objects.get().created_at.timestamp()
    monkeypatch.setattr(signed_urls, "clock", clock)
    body: dict[str, Any] = response.json()
    return body


def image_of(client: APIClient, row: dict[str, Any]) -> str:
    return str(client.get(f"{V1}{row['id']}/").json()["image"])


def content(response: Any) -> bytes:
    with closing(response):
        return b"".join(response.streaming_content)


def headers_of(client: APIClient, address: str) -> dict[str, str]:
    with closing(client.get(address)) as response:
        return dict(response.items())


def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


def test_the_address_stays_the_same_within_its_window(client: APIClient, created: dict[str, Any], clock: Clock) -> None:
    assert image_of(client, created) == created["image"]
    clock.now_s += 3599
    assert image_of(client, created) == created["image"]
    clock.now_s += 1
    assert image_of(client, created) != created["image"]


def test_an_address_is_valid_for_at_least_the_time_in_the_settings(
    client: APIClient, created: dict[str, Any], clock: Clock, jpeg: bytes
) -> None:
    clock.now_s += 3599  # the last second in which this address is shown
    shown = image_of(client, created)
    clock.now_s += 3600
    assert content(client.get(shown)) == jpeg


def test_an_expired_address_is_403_and_the_row_has_a_new_one(
    client: APIClient, created: dict[str, Any], clock: Clock, jpeg: bytes
) -> None:
    clock.now_s += 2 * 3600 + 2
    response = client.get(created["image"])
    assert (response.status_code, response.json()["code"]) == (403, "media_url_expired")
    assert "no-store" in response["Cache-Control"]
    assert content(client.get(image_of(client, created))) == jpeg


def test_the_etag_changes_with_the_address(client: APIClient, created: dict[str, Any], clock: Clock) -> None:
    client.post(f"{V1}{created['id']}/cancel/")
    address = f"{V1}{created['id']}/"
    first = client.get(address)
    again = client.get(address, headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 304
    clock.now_s += 3600
    later = client.get(address, headers={"If-None-Match": first["ETag"]})
    assert (later.status_code, later["ETag"] == first["ETag"]) == (200, False)
    assert later.json()["image"] != first.json()["image"]


def test_a_row_from_a_clock_that_is_ahead_is_in_its_first_window(
    client: APIClient, created: dict[str, Any], clock: Clock
) -> None:
    clock.now_s -= 30
    assert image_of(client, created) == created["image"]


@pytest.mark.parametrize(
    "change",
    [
        {"signature": ""},
        {"signature": "x" * 43},
        {"signature": "é"},
        {"expires": "9999999999"},
        {"expires": ""},
        {"expires": "soon"},
        {"expires": "-1"},
        {},
    ],
)
def test_a_changed_address_is_404(client: APIClient, created: dict[str, Any], change: dict[str, str]) -> None:
    path = urlsplit(created["image"]).path
    response = client.get(path, {**query_of(created["image"]), **change} if change else {})
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_a_signature_is_of_one_file_only(client: APIClient, created: dict[str, Any]) -> None:
    other = client.post(V1, {"model_type": "resnet", "image": pictures.upload(pictures.photo("PNG"))}).json()
    assert client.get(urlsplit(other["image"]).path, query_of(created["image"])).status_code == 404


@pytest.mark.parametrize("path", ["", "inferences/", "inferences/2026/", "inferences/2026/01/02/", "inferences"])
def test_nothing_is_listed(client: APIClient, created: dict[str, Any], path: str) -> None:
    assert client.get(f"/media/{path}", query_of(created["image"])).status_code == 404


def test_a_new_key_accepts_the_addresses_of_the_old_one(
    client: APIClient, created: dict[str, Any], settings: Settings, jpeg: bytes
) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert content(client.get(created["image"])) == jpeg
    settings.SECRET_KEY_FALLBACKS = []
    assert client.get(created["image"]).status_code == 404


def test_a_signature_of_something_else_is_not_one_of_an_image(
    client: APIClient, created: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_urls, "_SALT", "another purpose")
    forged = image_of(client, created)
    monkeypatch.undo()
    assert client.get(forged).status_code == 404


@pytest.mark.parametrize(
    ("image_format", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("AVIF", "image/avif"),
    ],
)
def test_the_headers_keep_the_image_private_and_harmless(
    client: APIClient, created: dict[str, Any], image_format: str, media_type: str
) -> None:
    data = pictures.photo(image_format)
    upload = pictures.upload(data, name="page.html")
    response = client.get(client.post(V1, {"model_type": "resnet", "image": upload}).json()["image"])
    assert content(response) == data
    assert response["Content-Type"] == media_type
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response["Content-Security-Policy"]
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert response["Content-Disposition"].startswith('inline; filename="')
    max_age = int(response["Cache-Control"].removeprefix("private, max-age="))
    assert 3600 < max_age <= 7200 + 120  # the clock shows when an earlier row was created


def test_max_age_ends_with_the_address(client: APIClient, created: dict[str, Any], clock: Clock) -> None:
    first = headers_of(client, created["image"])["Cache-Control"]
    clock.now_s += int(first.rpartition("=")[2]) - 10
    assert headers_of(client, created["image"])["Cache-Control"] == "private, max-age=10"


def test_if_modified_since_is_304_with_the_same_protection(client: APIClient, created: dict[str, Any]) -> None:
    modified = headers_of(client, created["image"])["Last-Modified"]
    response = client.get(created["image"], headers={"If-Modified-Since": modified})
    assert response.status_code == 304
    assert response["Cache-Control"].startswith("private")


def test_a_deleted_row_leaves_no_image(client: APIClient, created: dict[str, Any]) -> None:
    assert client.delete(f"{V1}{created['id']}/").status_code == 204
    assert client.get(created["image"]).status_code == 404
