"""Uploads on a real S3 server: SeaweedFS, from its wheel."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
import requests
from botocore.config import Config
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage, storages
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings
from rest_framework.test import APIClient

from chaos.outages.s3_server import ACCESS_KEY, BUCKET, CLIENT_CONFIG, SECRET_KEY
from chaos.outages.s3_server import s3_server as server_in
from moon_vision_challenge import pending_calls
from moon_vision_challenge.classification import images, services
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.media_store import s3
from moon_vision_challenge.classification.media_store.s3 import S3Store
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, worker
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.waiting import wait_for
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.tests.silent_server import SilentServer
from native.environment import free_port

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 server that has an empty bucket."""
    with server_in(tmp_path_factory.mktemp("s3")) as server:
        yield server.url


def use_s3(settings: Settings, endpoint_url: str) -> None:
    options: dict[str, Any] = {
        "bucket_name": BUCKET,
        "location": "media",
        "region_name": "us-east-1",
        "endpoint_url": endpoint_url,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "querystring_expire": 60,
        "client_config": CLIENT_CONFIG,
    }
    backend = "moon_vision_challenge.classification.media_store.s3.S3Store"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend, "OPTIONS": options}}
    settings.MEDIA_BACKEND = "s3"


@pytest.fixture
def inference(s3_server: str, settings: Settings, jpeg: bytes) -> Inference:
    use_s3(settings, s3_server)
    return services.create_inference(owner_id=0, model_type="resnet", image=images.open_image(jpeg))[0]


def test_the_worker_reads_from_s3_what_web_put_there(
    inference: Inference, start_fake: StartFake, settings: Settings
) -> None:
    start_fake(fake.predicts(281))
    batch.run(worker.claim_batch(queue=settings.INFERENCE_QUEUE))
    inference.refresh_from_db()
    assert (inference.status, inference.label) == (Inference.STATUS.DONE, "tabby")


def test_the_url_of_an_upload_is_stable_and_leads_to_a_presigned_one(
    inference: Inference, client: APIClient, jpeg: bytes
) -> None:
    assert inference.image.url.startswith(f"/media/{inference.image.name}?expires=")
    redirect = client.get(inference.image.url)
    assert redirect.status_code == 302
    assert "X-Amz-Signature=" in redirect["Location"]
    reply = requests.get(redirect["Location"], timeout=60)
    assert (reply.status_code, reply.content, reply.headers["Content-Type"]) == (200, jpeg, "image/jpeg")
    assert reply.headers["Content-Disposition"].startswith("inline")
    assert redirect["Cache-Control"] == reply.headers["Cache-Control"] == "private, max-age=60"
    assert client.get(f"/media/{inference.image.name}").status_code == 404


def test_s3_refuses_a_url_without_its_signature(inference: Inference, client: APIClient) -> None:
    location = client.get(inference.image.url)["Location"]
    assert requests.get(location.partition("?")[0], timeout=60).status_code == 403


def test_nothing_outside_the_uploads_is_presigned(inference: Inference, client: APIClient) -> None:
    for path in ("elsewhere/secret.txt", "%2e%2e/elsewhere/secret.txt", "inferences/2026/01/02/.."):
        response = client.get(f"/media/{path}")
        assert (response.status_code, response.get("Location")) == (404, None)


@pytest.mark.django_db(transaction=True)  # as in production: an error within a test's own transaction would break it
def test_a_store_that_does_not_answer_is_a_503_and_leaves_no_row(
    settings: Settings, client: APIClient, jpeg: bytes
) -> None:
    use_s3(settings, f"http://127.0.0.1:{free_port()}")
    upload = SimpleUploadedFile("photo.jpg", jpeg)
    reply = client.post("/api/v1/inferences/", {"model_type": "resnet", "image": upload})
    assert (reply.status_code, reply.json()["code"]) == (503, "storage_unavailable")
    assert reply["Retry-After"]
    assert not Inference.objects.exists()


def test_a_worker_that_cannot_read_the_store_tries_again_later(inference: Inference, settings: Settings) -> None:
    use_s3(settings, f"http://127.0.0.1:{free_port()}")
    assert batch.run(worker.claim_batch(queue=settings.INFERENCE_QUEUE)) != []
    inference.refresh_from_db()
    assert inference.status == Inference.STATUS.PENDING
    assert inference.error == {"code": "storage_unavailable", "detail": StorageUnavailableError.detail}


def test_an_image_that_s3_does_not_have_raises_file_not_found(inference: Inference) -> None:
    inference.image.delete(save=False)
    with pytest.raises(FileNotFoundError):
        inference.image.storage.open("inferences/none.jpg")


def test_all_uploads_are_measured(inference: Inference, jpeg: bytes) -> None:
    before = default_storage.stored_bytes()  # type: ignore[attr-defined]
    default_storage.save("inferences/2026/01/02/more.jpg", ContentFile(b"more"))
    assert default_storage.stored_bytes() == before + 4  # type: ignore[attr-defined]
    assert before >= len(jpeg)


def test_a_refused_key_is_an_unavailable_store(inference: Inference, settings: Settings) -> None:
    options = {**settings.STORAGES["default"]["OPTIONS"], "secret_key": "wrong"}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    with pytest.raises(StorageUnavailableError, match="SignatureDoesNotMatch"):
        inference.image.delete(save=False)


def use_silent_s3(settings: Settings, silent: SilentServer, read_timeout_s: float) -> S3Store:
    use_s3(settings, f"http://{silent.address}")
    settings.STORAGES["default"]["OPTIONS"]["client_config"] = CLIENT_CONFIG.merge(Config(read_timeout=read_timeout_s))
    store = storages["default"]
    assert isinstance(store, S3Store)
    store._breaker._open_s = 600
    return store


def save(store: S3Store) -> str:
    """Try to save a photo, and return why it is not stored."""
    with pytest.raises(StorageUnavailableError) as caught:
        store.save("inferences/photo.jpg", ContentFile(b"photo"))
    return str(caught.value)


NOT_ASKED = "S3 does not answer, so the call is skipped"


def test_a_store_that_hangs_holds_two_callers_and_refuses_the_others_at_once(settings: Settings) -> None:
    silent = SilentServer()
    store = use_silent_s3(settings, silent, read_timeout_s=600)
    with ThreadPoolExecutor(2) as pool:
        first = [pool.submit(save, store) for _ in range(2)]
        wait_for(lambda: store._pending.late == 2, "two late calls")
        assert {save(store) for _ in range(6)} == {NOT_ASKED}
        assert not any(each.done() for each in first)
        silent.close()
        assert NOT_ASKED not in {each.result() for each in first}


def test_a_store_that_hangs_is_waited_for_once(settings: Settings) -> None:
    with SilentServer() as silent:
        store = use_silent_s3(settings, silent, read_timeout_s=0.5)
        assert "Read timeout" in save(store)
        assert save(store) == NOT_ASKED


@pytest.mark.parametrize(("size", "are_late"), [(100_000, True), (300_000_000, False)])
def test_two_calls_are_late_sooner_if_they_are_small(settings: Settings, size: int, *, are_late: bool) -> None:
    use_s3(settings, "http://127.0.0.1:1")
    store = storages["default"]
    assert isinstance(store, S3Store)
    with store._call(size=size), store._call(size=size):
        later = time.monotonic() + 10
        with patch.object(pending_calls, "time", SimpleNamespace(monotonic=lambda: later)):
            assert (store._pending.late == 2) is are_late


@pytest.mark.parametrize(("size", "expected_s"), [(0, 15), (20 << 20, 15), (40 << 20, 30), (1 << 30, 45)])
def test_a_large_upload_has_more_time(settings: Settings, size: int, expected_s: float) -> None:
    use_s3(settings, "http://127.0.0.1:1")
    store = storages["default"]
    assert isinstance(store, S3Store)
    with patch.object(s3, "deadline") as deadline, store._call(size=size):
        deadline.assert_called_once_with(expected_s)


@pytest.mark.e2e
def test_a_large_file_is_read_to_the_disk(inference: Inference) -> None:
    content = bytes(range(256)) * 160_000
    name = default_storage.save("jobs/large", ContentFile(content))
    with default_storage.open(name) as file:
        assert file.file._rolled  # type: ignore[union-attr]  # of SpooledTemporaryFile
        assert os.pread(file.fileno(), len(content) + 1, 0) == content
