"""Uploads on a real S3 server: SeaweedFS, from its wheel."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification import images, services
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, worker
from moon_vision_challenge.classification.storage import S3MediaStorage
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.tests.silent_server import SilentServer
from native.environment import free_port

pytestmark = pytest.mark.django_db

BUCKET, ACCESS_KEY, SECRET_KEY = "uploads", "test-key", "test-secret"
CLIENT_CONFIG = Config(signature_version="s3v4", retries={"mode": "standard", "total_max_attempts": 1})


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 server that has an empty bucket."""
    folder = tmp_path_factory.mktemp("s3")
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    identities = [{"name": "test", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    names = ("master", "volume", "filer", "s3")
    ports = {option: free_port() for name in names for option in (f"{name}.port", f"{name}.port.grpc")}
    command: list[str] = [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
    ]
    command += ["-s3", f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-{option}={port}" for option, port in ports.items()]
    url = f"http://127.0.0.1:{ports['s3.port']}"
    log = folder / "log"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            _make_bucket(url, log, server)
            yield url
        finally:
            server.kill()  # it has nothing to save


def _make_bucket(url: str, log: Path, server: "subprocess.Popen[bytes]") -> None:
    keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY, "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, config=CLIENT_CONFIG, **keys)
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="elsewhere/secret.txt", Body=b"not an upload")
        except (BotoCoreError, ClientError) as error:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"SeaweedFS did not start: {error}\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)  # between two tries
        else:
            return


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
    backend = "moon_vision_challenge.classification.storage.S3MediaStorage"
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


def test_a_refused_key_is_an_unavailable_store(inference: Inference, settings: Settings) -> None:
    options = {**settings.STORAGES["default"]["OPTIONS"], "secret_key": "wrong"}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    with pytest.raises(StorageUnavailableError, match="SignatureDoesNotMatch"):
        inference.image.delete(save=False)


def use_silent_s3(settings: Settings, silent: SilentServer, read_timeout_s: float) -> S3MediaStorage:
    use_s3(settings, f"http://{silent.address}")
    settings.STORAGES["default"]["OPTIONS"]["client_config"] = CLIENT_CONFIG.merge(Config(read_timeout=read_timeout_s))
    store = storages["default"]
    assert isinstance(store, S3MediaStorage)
    store._breaker._open_s = 600
    return store


def save(store: S3MediaStorage) -> str:
    """Returns why the photo is not stored."""
    with pytest.raises(StorageUnavailableError) as caught:
        store.save("inferences/photo.jpg", ContentFile(b"photo"))
    return str(caught.value)


NOT_ASKED = "S3 does not answer, so it is not asked"


def test_a_store_that_hangs_holds_two_callers_and_refuses_the_others_at_once(settings: Settings) -> None:
    silent = SilentServer()
    store = use_silent_s3(settings, silent, read_timeout_s=600)
    with ThreadPoolExecutor(2) as pool:
        first = [pool.submit(save, store) for _ in range(2)]
        wait_for(lambda: sum(time.monotonic() - begin > 1 for begin in store._pending) == 2, "two late calls")
        assert {save(store) for _ in range(6)} == {NOT_ASKED}
        assert not any(each.done() for each in first)
        silent.close()
        assert NOT_ASKED not in {each.result() for each in first}


def test_a_store_that_hangs_is_waited_for_once(settings: Settings) -> None:
    with SilentServer() as silent:
        store = use_silent_s3(settings, silent, read_timeout_s=0.5)
        assert "Read timeout" in save(store)
        assert save(store) == NOT_ASKED
