"""Uploads to a folder whose disk is full, read-only, or missing. The disk is a real file system in memory."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification import images, services
from moon_vision_challenge.classification.exceptions import StorageFullError, StorageUnavailableError
from moon_vision_challenge.classification.media_store import media_store
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, worker

DISK_BYTES = 256 * 1024

# As in production: an error within a test's own transaction would break it.
needs_database = pytest.mark.django_db(transaction=True)


@pytest.fixture
def disk(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """A separate file system for the uploads."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a file system, and not in every container")
    settings.MEDIA_ROOT = folder
    settings.MEDIA_MIN_FREE_BYTES = 0
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def fill(disk: Path, *, leave: int) -> None:
    (disk / "other").write_bytes(b"\0" * (DISK_BYTES - leave))


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def post(client: APIClient, jpeg: bytes) -> Any:
    upload = SimpleUploadedFile("photo.jpg", jpeg)
    return client.post("/api/v1/inferences/", {"model_type": "resnet", "image": upload})


def test_an_upload_of_a_job_is_lost_only_if_its_folder_is_there(settings: Settings) -> None:
    with pytest.raises(StorageUnavailableError), media_store.as_local_file("jobs/1"):
        pass
    (Path(settings.MEDIA_ROOT) / "jobs").mkdir(parents=True)
    with pytest.raises(FileNotFoundError), media_store.as_local_file("jobs/1"):
        pass


def test_an_upload_that_cannot_be_kept_is_the_stores_error(tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(b"photo")
    with pytest.raises(StorageUnavailableError):
        media_store.keep(upload, "jobs/1")  # the folder does not exist


@needs_database
def test_a_full_disk_is_503_and_nothing_is_left_behind(client: APIClient, disk: Path, jpeg: bytes) -> None:
    fill(disk, leave=0)
    reply = post(client, jpeg)
    assert (reply.status_code, reply.json()["code"], reply["Retry-After"]) == (503, "storage_full", "60")
    assert files(disk) == ["other"]
    assert not Inference.objects.exists()


def test_a_disk_that_fills_up_half_way_keeps_no_partial_file(disk: Path) -> None:
    no_check = patch("moon_vision_challenge.classification.media_store.folder.FolderStore._check_room")
    with no_check, pytest.raises(StorageFullError):
        default_storage.save("inferences/photo.jpg", ContentFile(b"\0" * (DISK_BYTES + 1)))
    assert files(disk) == []


@needs_database
def test_a_read_only_disk_is_503(client: APIClient, disk: Path, jpeg: bytes) -> None:
    with read_only(disk):
        reply = post(client, jpeg)
    assert (reply.status_code, reply.json()["code"]) == (503, "storage_unavailable")
    assert files(disk) == []


@needs_database
def test_when_there_is_room_again_uploads_are_accepted(client: APIClient, disk: Path, jpeg: bytes) -> None:
    fill(disk, leave=0)
    assert post(client, jpeg).status_code == 503
    (disk / "other").unlink()
    assert post(client, jpeg).status_code == 201


@needs_database
def test_nothing_is_accepted_that_would_leave_less_than_the_floor(
    client: APIClient, settings: Settings, tmp_path: Path, jpeg: bytes
) -> None:
    settings.MEDIA_MIN_FREE_BYTES = 1 << 60
    reply = post(client, jpeg)
    assert (reply.status_code, reply.json()["code"]) == (503, "storage_full")
    assert files(tmp_path) == []


@needs_database
@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT, errno.EACCES, errno.ESTALE, errno.EFBIG, errno.EMFILE])
def test_a_failed_write_is_503(client: APIClient, settings: Settings, tmp_path: Path, jpeg: bytes, number: int) -> None:
    def fail(_path: Path, _mode: int) -> None:
        raise OSError(number, os.strerror(number))

    with patch.object(Path, "chmod", fail):  # the last step of a write
        reply = post(client, jpeg)
    assert reply.status_code == 503
    assert reply.json()["code"] == ("storage_full" if number == errno.EDQUOT else "storage_unavailable")
    assert files(tmp_path) == []


@pytest.fixture
def inference(db: None, jpeg: bytes) -> Inference:
    return services.create_inference(owner_id=0, model_type="resnet", image=images.open_image(jpeg))[0]


def attempt(inference: Inference, settings: Settings) -> str:
    batch.run(worker.claim_batch(queue=settings.INFERENCE_QUEUE))
    inference.refresh_from_db()
    return inference.status


def test_a_worker_whose_disk_fails_tries_again_later(inference: Inference, settings: Settings) -> None:
    with patch.object(Path, "read_bytes", side_effect=OSError(errno.EIO, "Input/output error")):
        assert attempt(inference, settings) == "pending"
    assert inference.error == {"code": "storage_unavailable", "detail": StorageUnavailableError.detail}


def test_a_worker_whose_disk_is_not_mounted_tries_again_later(
    inference: Inference, settings: Settings, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path / "empty"
    assert attempt(inference, settings) == "pending"
    assert inference.attempts == 0


def test_an_upload_that_alone_is_lost_fails(inference: Inference, settings: Settings) -> None:
    Path(inference.image.path).unlink()
    assert attempt(inference, settings) == "fail"
