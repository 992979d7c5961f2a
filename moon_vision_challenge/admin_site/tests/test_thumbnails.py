"""Previews in the admin: small, made once, private, and safe with any picture."""

import io
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.test import Client
from PIL import Image
from pytest_django import Settings

from chaos.corpus import case
from moon_vision_challenge.classification import services, thumbnails
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.images.encoded import EncodedImage
from moon_vision_challenge.classification.media_store.folder import FolderStore
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests import pictures

pytestmark = pytest.mark.django_db

NO_PREVIEW = "/static/admin_site/no-preview.svg"


def store(data: bytes, suffix: str = "jpg") -> Inference:
    """Create a row whose file holds these bytes, whatever they are."""
    row = Inference.objects.create(model_type="resnet", image=f"inferences/2026/01/01/a.{suffix}")
    path = Path(django_settings.MEDIA_ROOT) / str(row.image.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return row


def address(row: Inference) -> str:
    return f"/admin/classification/inference/{row.pk}/thumbnail/"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_picture_of_any_format_becomes_a_small_jpeg(admin_client: Client, image_format: str) -> None:
    response = admin_client.get(address(store(case.encode(case.photo(800, 600), image_format))))
    assert (response.status_code, response["Content-Type"]) == (200, "image/jpeg")
    shown = Image.open(io.BytesIO(response.content))
    assert (shown.format, shown.size) == ("JPEG", (96, 72))
    assert len(response.content) < 10_000


def test_no_byte_of_the_upload_reaches_the_browser(admin_client: Client) -> None:
    exif = Image.Exif()
    exif[0x010E] = "<script>alert(1)</script>"
    response = admin_client.get(address(store(case.encode(case.photo(), "JPEG", exif=exif, comment=b"<script>"))))
    assert b"script" not in response.content
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Cache-Control"] == "private, max-age=3600"


def test_a_preview_is_made_once(admin_client: Client, jpeg: bytes) -> None:
    row = store(jpeg)
    first = admin_client.get(address(row)).content
    with patch.object(thumbnails, "_make", side_effect=AssertionError("made again")):
        assert admin_client.get(address(row)).content == first


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html><script>",
        b"\xff\xd8\xff",
        pictures.png_bomb(30_000, 30_000),
        case.encode(case.photo(), "JPEG")[:900],
    ],
    ids=["empty", "html", "no JPEG", "bomb", "cut short"],
)
def test_what_cannot_be_decoded_has_no_preview_and_is_tried_once(admin_client: Client, data: bytes) -> None:
    row = store(data)
    assert admin_client.get(address(row))["Location"] == NO_PREVIEW
    with patch.object(thumbnails, "_make", side_effect=AssertionError("tried again")):
        assert admin_client.get(address(row))["Location"] == NO_PREVIEW


def test_a_picture_that_takes_long_to_decode_is_not_decoded(admin_client: Client) -> None:
    row = store(case.encode(Image.new("RGB", (7000, 7000)), "PNG"))
    with patch.object(EncodedImage, "_decode", side_effect=AssertionError("decoded")):
        assert admin_client.get(address(row))["Location"] == NO_PREVIEW


def test_a_picture_beyond_the_limits_is_not_decoded(admin_client: Client, jpeg: bytes, settings: Settings) -> None:
    settings.INFERENCE_MAX_IMAGE_PIXELS = 100
    assert admin_client.get(address(store(jpeg)))["Location"] == NO_PREVIEW


def test_a_row_without_a_file_has_no_preview(admin_client: Client, jpeg: bytes) -> None:
    row = store(jpeg)
    Path(row.image.path).unlink()
    assert admin_client.get(address(row))["Location"] == NO_PREVIEW
    assert admin_client.get(address(Inference.objects.create(model_type="resnet")))["Location"] == NO_PREVIEW


def test_while_the_store_is_away_it_is_503_and_later_200(admin_client: Client, jpeg: bytes) -> None:
    row = store(jpeg)
    with patch.object(FolderStore, "_open", side_effect=StorageUnavailableError("away")):
        assert admin_client.get(address(row)).status_code == 503
    assert admin_client.get(address(row)).status_code == 200


def test_one_preview_is_made_at_a_time(admin_client: Client, jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "_WAIT_S", 0)
    row = store(jpeg)
    with thumbnails._turn:
        response = admin_client.get(address(row))
    assert (response.status_code, response["Cache-Control"]) == (503, "no-store")
    assert admin_client.get(address(row)).status_code == 200


def test_only_staff_who_may_view_inferences_see_it(client: Client, jpeg: bytes) -> None:
    row = store(jpeg)
    browser = Client()
    assert browser.get(address(row))["Location"].startswith("/admin/login/")
    staff = User.objects.create(username="staff", is_staff=True)
    browser.force_login(staff)
    assert browser.get(address(row)).status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="view_inference"))
    assert browser.get(address(row)).status_code == 200
    assert browser.get(address(Inference(pk=row.pk + 1))).status_code == 404


def test_it_goes_with_its_inference(admin_client: Client, jpeg: bytes) -> None:
    row = store(jpeg)
    admin_client.get(address(row))
    key = thumbnails._key(row.pk)
    assert cache.get(key)
    services.delete_inference(inference_id=row.pk, actor="test")
    assert cache.get(key) is None


def test_without_redis_it_is_made_each_time(admin_client: Client, jpeg: bytes, settings: Settings) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}}
    row = store(jpeg)
    assert [admin_client.get(address(row)).status_code for _ in range(2)] == [200, 200]
    services.delete_inference(inference_id=row.pk, actor="test")
