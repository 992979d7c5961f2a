"""After a restore, rows and files may be from different times."""

import itertools
import os
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from chaos.outages.s3_server import ACCESS_KEY, BUCKET, CLIENT_CONFIG, SECRET_KEY
from chaos.outages.s3_server import s3_server as server_in
from moon_vision_challenge.classification import reconciliation
from moon_vision_challenge.classification.models import FINAL_STATUSES, Inference
from moon_vision_challenge.webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db

STATUS = Inference.STATUS
OLD = timedelta(hours=3)


@pytest.fixture(scope="module")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server_in(tmp_path_factory.mktemp("s3")) as server:
        yield server.url


@pytest.fixture(params=["folder", "s3"])
def _any_store(request: pytest.FixtureRequest, settings: Settings) -> None:
    if request.param == "folder":
        return
    options: dict[str, Any] = {
        "bucket_name": BUCKET,
        "location": request.node.name,
        "region_name": "us-east-1",
        "endpoint_url": request.getfixturevalue("s3_url"),
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "client_config": CLIENT_CONFIG,
    }
    backend = "moon_vision_challenge.classification.media_store.s3.S3Store"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": backend, "OPTIONS": options}}
    settings.MEDIA_BACKEND = "s3"


def make_file(made: datetime) -> str:
    return default_storage.save(f"inferences/{made:%Y/%m/%d}/{uuid.uuid4().hex}.jpg", ContentFile(b"x"))


def make_row(status: str = STATUS.DONE, *, age: timedelta = OLD, has_file: bool = True, **fields: Any) -> Inference:
    made = timezone.now() - age
    name = make_file(made)
    if not has_file:
        default_storage.delete(name)
    finished_at = made if status in FINAL_STATUSES else None
    return Inference.objects.create(
        model_type="efficientnet_lite0", image=name, status=status, created_at=made, finished_at=finished_at, **fields
    )


def reconcile(*options: str, now: timedelta = OLD) -> list[int]:
    """Return the numbers that the command prints: files, files without a row, waiting and ended rows without a file.

    Args:
        now: how long ago the files were written.
    """
    printed = StringIO()
    later = timezone.now() + now
    with patch("django.utils.timezone.now", lambda: later):
        call_command("reconcile_media", *options, stdout=printed)
    return [int(number) for number in re.findall(r"^(\d+) ", printed.getvalue(), re.MULTILINE)]


@pytest.mark.usefixtures("_any_store")
def test_both_kinds_are_found_and_ended() -> None:
    whole = [make_row(status) for status in (STATUS.DONE, STATUS.PENDING, STATUS.PROCESSING)]
    waiting = make_row(STATUS.PENDING, has_file=False, webhook_url="https://example.com/hook")
    ended = make_row(STATUS.DONE, has_file=False, label="cat")
    taken = make_row(STATUS.PROCESSING, has_file=False)
    orphans = [make_file(timezone.now() - OLD) for _ in range(3)]
    before = list(Inference.objects.order_by("pk").values())
    assert reconcile() == [6, 3, 1, 1]
    assert list(Inference.objects.order_by("pk").values()) == before
    assert all(default_storage.exists(name) for name in orphans)

    assert reconcile("--apply") == [6, 3, 1, 1]
    for row in (waiting, ended, taken):
        row.refresh_from_db()
    assert (waiting.status, waiting.error, waiting.image.name) == ("fail", reconciliation.IMAGE_LOST, "")
    assert waiting.finished_at is not None
    assert WebhookDelivery.objects.get(subject_id=waiting.pk).event == "inference.fail"
    assert (ended.status, ended.label, ended.image.name) == ("done", "cat", "")
    assert taken.status == "processing"  # its worker reports what it finds
    assert not any(default_storage.exists(name) for name in orphans)
    assert all(default_storage.exists(str(row.image.name)) for row in whole)
    assert reconcile("--apply") == [3, 0, 0, 0]


def test_what_is_made_meanwhile_is_left_alone() -> None:
    make_row()
    make_row(STATUS.PENDING, age=timedelta(minutes=30), has_file=False)
    made_now = make_file(timezone.now())
    assert reconcile("--apply", now=timedelta()) == [2, 0, 0, 0]
    assert default_storage.exists(made_now)
    assert reconcile("--grace=1m", now=timedelta(minutes=2)) == [2, 1, 1, 0]


def test_a_file_of_another_day_than_its_row_is_kept() -> None:
    row = make_row(age=timedelta(days=9))
    Inference.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(days=2))
    assert reconcile("--apply") == [1, 0, 0, 0]
    assert default_storage.exists(str(row.image.name))


def test_a_row_without_a_folder_for_its_day_is_found() -> None:
    make_row()
    make_row(age=timedelta(days=40), has_file=False)
    assert reconcile() == [1, 0, 0, 1]


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_batches_leave_nothing_out(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "BATCH", batch)
    make_row()
    for _ in range(5):
        make_row(STATUS.PENDING, has_file=False)
        make_row(STATUS.CANCELED, has_file=False)
        make_file(timezone.now() - OLD)
    assert reconcile("--apply") == [6, 5, 5, 5]
    assert reconcile() == [1, 0, 0, 0]


def test_names_are_read_a_page_at_a_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day may have millions of files."""
    monkeypatch.setattr(reconciliation, "BATCH", 10)
    folder = Path(settings.MEDIA_ROOT) / f"inferences/{timezone.now() - OLD:%Y/%m/%d}"
    folder.mkdir(parents=True)
    for number in range(35):
        (folder / f"{number}.jpg").touch()
    pages = []
    take: Callable[..., Iterator[Any]] = itertools.islice

    def taken(files: Iterator[Any], count: int) -> list[Any]:
        pages.append(list(take(files, count)))
        return pages[-1]

    monkeypatch.setattr(reconciliation, "islice", taken)
    assert reconcile()[:2] == [35, 35]
    assert [len(page) for page in pages if page] == [10, 10, 10, 5]


def test_an_empty_store_ends_no_row() -> None:
    """Most likely, its disk is not mounted."""
    row = make_row(has_file=False)
    with pytest.raises(CommandError, match="no file at all"):
        reconcile("--apply")
    row.refresh_from_db()
    assert row.image


def test_a_store_that_does_not_answer_changes_nothing(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.MEDIA_ROOT = tmp_path / "file" / "media"
    with pytest.raises(CommandError, match="does not answer"):
        reconcile("--apply")


def test_a_file_that_is_brought_back_meanwhile_is_not_lost() -> None:
    make_row()
    row = make_row(has_file=False)
    with patch.object(default_storage, "exists", return_value=True):
        reconcile("--apply")
    row.refresh_from_db()
    assert row.image


def test_the_api_shows_a_row_whose_image_is_gone(client: APIClient) -> None:
    make_row()
    row = make_row(has_file=False, label="cat")
    reconcile("--apply")
    shown = client.get(f"/api/v1/inferences/{row.pk}/").json()
    assert (shown["label"], shown["image"]) == ("cat", None)


def test_a_file_keeps_its_time_on_the_disk() -> None:
    name = make_file(timezone.now())
    os.utime(default_storage.path(name), (1_700_000_000, 1_700_000_000))
    [(found, changed)] = default_storage.files(name.rpartition("/")[0])  # type: ignore[attr-defined]
    assert (found, changed) == (name, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC))
