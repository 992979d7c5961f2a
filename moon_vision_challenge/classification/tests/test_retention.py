from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import retention

pytestmark = pytest.mark.django_db


def stored(name: str) -> Path:
    path = Path(django_settings.MEDIA_ROOT) / "inferences" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def row(name: str, days: float | None, status: str = "done") -> Inference:
    finished_at = None if days is None else timezone.now() - timedelta(days=days)
    return Inference.objects.create(
        model_type="resnet", image=f"inferences/{name}", status=status, finished_at=finished_at
    )


def test_rows_past_their_time_go_with_their_files() -> None:
    files = [stored(name) for name in ("2026/01/01/old.jpg", "2026/01/01/new.jpg", "2026/01/01/waits.jpg")]
    row("2026/01/01/old.jpg", 31)
    new, waits = row("2026/01/01/new.jpg", 29), row("2026/01/01/waits.jpg", None, "pending")
    assert retention.delete_old_inferences() == 1
    assert set(Inference.objects.all()) == {new, waits}
    assert [file.exists() for file in files] == [False, True, True]


def test_a_run_is_bounded_and_takes_the_oldest_first() -> None:
    ages = [row("x.jpg", days) for days in (40, 60, 50)]
    assert retention.delete_old_inferences(limit=2) == 2
    assert list(Inference.objects.all()) == [ages[0]]


def test_a_file_that_is_already_gone_is_not_an_error() -> None:
    row("2026/01/01/gone.jpg", 31)
    assert retention.delete_old_inferences() == 1


def test_orphaned_files_go_a_day_folder_a_run() -> None:
    orphans = [stored("2026/01/01/a.jpg"), stored("2026/01/02/b.jpg")]
    kept = stored("2026/01/02/kept.jpg")
    row("2026/01/02/kept.jpg", 1)
    assert [retention.delete_orphaned_files() for _ in range(3)] == [1, 1, 0]
    assert [file.exists() for file in (*orphans, kept)] == [False, False, True]


def test_files_of_today_and_yesterday_are_left_alone() -> None:
    today = stored(f"{timezone.now():%Y/%m/%d}/new.jpg")
    assert retention.delete_orphaned_files() == 0
    assert today.exists()


def test_without_any_upload_there_is_nothing_to_delete() -> None:
    assert (retention.delete_old_inferences(), retention.delete_orphaned_files()) == (0, 0)
