"""The limit on the size of all uploads together."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification import tasks
from moon_vision_challenge.classification.exceptions import StorageFullError
from moon_vision_challenge.classification.media_store import stored_bytes
from moon_vision_challenge.classification.models import Inference

MAX = 1000


@pytest.fixture(autouse=True)
def _bound(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.MEDIA_MAX_BYTES = MAX
    monkeypatch.setattr(stored_bytes._LastKnown, "size", 0)


@pytest.fixture
def _redis_is_away(settings: Settings) -> None:
    redis = {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}
    settings.CACHES = {**settings.CACHES, "default": redis}


def save(size: int) -> str:
    return default_storage.save("inferences/2026/01/02/photo.jpg", ContentFile(b"\0" * size))


def is_refused(size: int) -> bool:
    try:
        stored_bytes.reserve(size)
    except StorageFullError:
        return True
    return False


def test_an_upload_that_fits_is_stored_and_one_that_does_not_leaves_nothing(settings: Settings) -> None:
    stored_bytes.measure()
    save(MAX)
    with pytest.raises(StorageFullError, match="1000 bytes are stored, and MEDIA_MAX_BYTES is 1000"):
        default_storage.save("inferences/2026/01/03/photo.jpg", ContentFile(b"\0"))
    assert [path.stat().st_size for path in Path(settings.MEDIA_ROOT).rglob("*.jpg")] == [MAX]


def test_a_refused_upload_takes_no_room() -> None:
    stored_bytes.measure()
    assert is_refused(MAX + 1)
    assert not is_refused(MAX)
    assert is_refused(1)


def test_what_is_there_already_is_measured() -> None:
    save(600)
    cache.clear()  # as after Redis has lost its data
    stored_bytes.measure_if_unknown()
    assert stored_bytes.stored() == 600
    assert is_refused(401)
    assert not is_refused(400)


def test_the_measured_size_replaces_what_was_counted() -> None:
    stored_bytes.measure()
    name = save(MAX)
    default_storage.delete(name)
    assert is_refused(1)
    stored_bytes.measure()
    assert not is_refused(MAX)


def test_threads_that_upload_at_the_same_time_do_not_exceed_it() -> None:
    stored_bytes.measure()
    with ThreadPoolExecutor(8) as pool:
        refused = list(pool.map(is_refused, [100] * 40))
    # A refused upload counts until its size is given back, so a few that would fit may be refused.
    assert 1 <= refused.count(False) <= 10


@pytest.mark.usefixtures("_redis_is_away")
def test_without_redis_each_process_counts_what_it_adds() -> None:
    assert not is_refused(MAX)
    assert is_refused(1)


def test_before_the_first_measurement_uploads_are_accepted() -> None:
    assert not is_refused(MAX)


def test_without_a_bound_nothing_is_counted(settings: Settings) -> None:
    settings.MEDIA_MAX_BYTES = 0
    stored_bytes.measure_if_unknown()
    assert not is_refused(1 << 60)
    assert stored_bytes.stored() is None


@pytest.mark.django_db(transaction=True)
def test_a_client_whose_upload_does_not_fit_gets_503_and_no_row(client: APIClient, jpeg: bytes) -> None:
    stored_bytes.measure()
    upload = SimpleUploadedFile("photo.jpg", jpeg)
    reply = client.post("/api/v1/inferences/", {"model_type": "resnet", "image": upload})
    assert (reply.status_code, reply.json()["code"], reply["Retry-After"]) == (503, "storage_full", "60")
    assert not Inference.objects.exists()


@pytest.mark.django_db
def test_the_sweep_measures_what_is_not_known() -> None:
    tasks.sweep_inferences()
    assert stored_bytes.stored() == 0


@pytest.mark.django_db
def test_deleting_old_images_measures_again() -> None:
    cache.set("media.bytes", MAX)
    tasks.delete_old()
    assert stored_bytes.stored() == 0
