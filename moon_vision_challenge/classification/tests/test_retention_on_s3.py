"""Retention and failed uploads on a real S3 server."""

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from operator import itemgetter
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from chaos.outages.s3_server import ACCESS_KEY, BUCKET, CLIENT_CONFIG, SECRET_KEY
from chaos.outages.s3_server import s3_server as server_in
from moon_vision_challenge.classification import images, services
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.models import Inference, image_path
from moon_vision_challenge.classification.queue import retention
from moon_vision_challenge.tests.documents import block

pytestmark = pytest.mark.django_db

DAY = "inferences/2026/01/01"


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server_in(tmp_path_factory.mktemp("s3")) as server:
        yield server.url


@pytest.fixture(autouse=True)
def _on_s3(s3_server: str, settings: Settings, request: pytest.FixtureRequest) -> None:
    """Use a folder of the bucket that no other test uses."""
    options: dict[str, Any] = {
        "bucket_name": BUCKET,
        "location": request.node.name,
        "region_name": "us-east-1",
        "endpoint_url": s3_server,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "client_config": CLIENT_CONFIG,
    }
    backend = "moon_vision_challenge.classification.media_store.s3.S3Store"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend, "OPTIONS": options}}
    settings.MEDIA_BACKEND = "s3"


def save(*names: str, folder: str = DAY) -> None:
    for name in names:
        default_storage.save(f"{folder}/{name}", ContentFile(b"x"))


def files() -> list[str]:
    return sorted(default_storage.listdir(DAY)[1])


def make_old(name: str) -> None:
    finished_at = timezone.now() - timedelta(days=31)
    Inference.objects.create(model_type="resnet", image=f"{DAY}/{name}", status="done", finished_at=finished_at)


def test_orphaned_files_are_deleted() -> None:
    save("orphan.jpg", "kept.jpg")
    Inference.objects.create(model_type="resnet", image=f"{DAY}/kept.jpg")
    assert retention.delete_orphaned_files() == 1
    assert files() == ["kept.jpg"]


def test_without_any_upload_there_is_nothing_to_delete() -> None:
    assert retention.delete_for_a_turn()


def test_files_of_old_inferences_are_deleted_with_one_request() -> None:
    names = [f"{number}.jpg" for number in range(20)]
    save(*names, "other.jpg")
    for name in names:
        make_old(name)
    calls: list[int] = []
    delete = default_storage.bucket.delete_objects  # type: ignore[attr-defined]

    def count(**options: Any) -> Any:
        calls.append(len(options["Delete"]["Objects"]))
        return delete(**options)

    with patch.object(default_storage.bucket, "delete_objects", count):  # type: ignore[attr-defined]
        assert retention.delete_old_inferences() == 20
    assert calls == [20]
    assert files() == ["other.jpg"]


def test_a_server_that_deletes_only_one_by_one_is_used_so() -> None:
    save("a.jpg", "b.jpg")
    refusal = ClientError({"Error": {"Code": "NotImplemented"}}, "DeleteObjects")
    with patch.object(default_storage.bucket, "delete_objects", side_effect=refusal):  # type: ignore[attr-defined]
        default_storage.delete_many([f"{DAY}/a.jpg", f"{DAY}/b.jpg"])  # type: ignore[attr-defined]
    assert files() == []


def test_a_file_that_is_not_deleted_is_told() -> None:
    answer = {"Errors": [{"Key": "a.jpg", "Code": "InternalError"}]}
    with (
        patch.object(default_storage.bucket, "delete_objects", return_value=answer),  # type: ignore[attr-defined]
        pytest.raises(StorageUnavailableError, match="1 of 2"),
    ):
        default_storage.delete_many([f"{DAY}/a.jpg", f"{DAY}/b.jpg"])  # type: ignore[attr-defined]


def test_a_failed_upload_deletes_no_other_file(jpeg: bytes) -> None:
    """Before it is stored, an upload has a name that another file may have: image.jpg."""
    default_storage.save("image.jpg", ContentFile(b"another file"))
    refusal = ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")
    with (
        patch("storages.backends.s3.S3Storage._save", side_effect=refusal),
        pytest.raises(StorageUnavailableError),
    ):
        services.create_inference(owner_id=0, model_type="resnet", image=images.open_image(jpeg))
    assert default_storage.exists("image.jpg")
    assert not Inference.objects.exists()


def test_with_a_lifecycle_rule_only_rows_are_deleted(settings: Settings) -> None:
    settings.MEDIA_S3_LIFECYCLE = True
    save("old.jpg", "orphan.jpg")
    make_old("old.jpg")
    assert retention.delete_for_a_turn()
    assert not Inference.objects.exists()
    assert files() == ["old.jpg", "orphan.jpg"]
    call_command("reconcile_media", "--apply", stdout=StringIO())
    assert files() == ["old.jpg", "orphan.jpg"]


def test_with_a_lifecycle_rule_a_client_still_deletes_the_image(settings: Settings, client: APIClient) -> None:
    settings.MEDIA_S3_LIFECYCLE = True
    save("private.jpg")
    row = Inference.objects.create(model_type="resnet", image=f"{DAY}/private.jpg", status="done")
    assert client.delete(f"/api/v1/inferences/{row.pk}/").status_code == 204
    assert files() == []


def test_the_documented_rules_are_what_s3_then_has(settings: Settings) -> None:
    rules = json.loads(block("docs/operations.md", "json", "parts-of-failed-uploads"))
    s3 = default_storage.bucket.meta.client  # type: ignore[attr-defined]
    s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rules)
    try:
        found = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    finally:
        s3.delete_bucket_lifecycle(Bucket=BUCKET)
    assert sorted(found, key=itemgetter("ID")) == sorted(rules["Rules"], key=itemgetter("ID"))
    expiry_days = rules["Rules"][0]["Expiration"]["Days"]
    assert expiry_days > settings.INFERENCE_RETENTION_DAYS
    assert image_path(Inference(), "image.jpg").startswith(rules["Rules"][0]["Filter"]["Prefix"].removeprefix("media/"))
