"""Retention catches up with any rate, shares its work, and reports when it lags."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.utils import timezone
from kombu.exceptions import OperationalError as QueueError

from moon_vision_challenge.classification import tasks, thumbnails
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.media_store.folder import FolderStore
from moon_vision_challenge.classification.models import IdempotencyKey, Inference
from moon_vision_challenge.classification.queue import gauges, retention
from moon_vision_challenge.classification.tests.racing import race

pytestmark = pytest.mark.django_db


def make_old(count: int, days: float = 31) -> list[Inference]:
    """Create final rows, each with its file and its idempotency key."""
    rows = Inference.objects.bulk_create(
        Inference(
            model_type="resnet",
            image=f"inferences/2026/01/01/{number}.jpg",
            status="done",
            finished_at=timezone.now() - timedelta(days=days),
        )
        for number in range(count)
    )
    IdempotencyKey.objects.bulk_create(IdempotencyKey(scope="0", key=f"{row.pk}", inference=row) for row in rows)
    folder = Path(django_settings.MEDIA_ROOT) / "inferences/2026/01/01"
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        (folder / Path(str(row.image.name)).name).write_bytes(b"x")
    return rows


def files() -> int:
    return sum(path.is_file() for path in Path(django_settings.MEDIA_ROOT).rglob("*"))


def everything() -> tuple[int, int, int]:
    return Inference.objects.count(), IdempotencyKey.objects.count(), files()


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Make each reading of the clock advance it by this many seconds."""

    def start(step_s: float) -> None:
        times = itertools.count(0, step_s)
        monkeypatch.setattr(retention, "clock", lambda: next(times))

    return start


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Mock:
    send = Mock()
    monkeypatch.setattr(tasks.delete_old, "delay", send)
    return send


def test_one_turn_deletes_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    make_old(25)
    assert retention.delete_for_a_turn()
    assert everything() == (0, 0, 0)


def test_a_turn_ends_in_time_and_the_next_continues(
    set_clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    make_old(25)
    set_clock(retention.TURN_S)
    assert [retention.delete_for_a_turn() for _ in range(3)] == [False, False, False]
    assert everything() == (0, 0, 0)


def test_while_there_is_more_another_turn_follows_at_once(set_clock: Callable[[float], None], sent: Mock) -> None:
    make_old(3)
    set_clock(retention.TURN_S)
    tasks.delete_old()
    sent.assert_called_once_with()
    set_clock(0)
    tasks.delete_old()
    sent.assert_called_once_with()


def test_one_message_waits_for_all_runs(set_clock: Callable[[float], None], sent: Mock) -> None:
    make_old(3)
    set_clock(retention.TURN_S)
    for _ in range(3):
        tasks._delete_more()
    sent.assert_called_once_with()
    tasks.delete_old()  # it consumes the message
    assert sent.call_count == 2


def test_without_redis_the_work_goes_on_at_the_next_time(set_clock: Callable[[float], None], sent: Mock) -> None:
    sent.side_effect = QueueError("away")
    make_old(3)
    set_clock(retention.TURN_S)
    tasks.delete_old()
    assert Inference.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_four_runs_at_once_share_the_work() -> None:
    make_old(1000)
    counts = [0] * 4

    def run(number: int) -> None:
        while deleted := retention.delete_old_inferences(limit=20):
            counts[number] += deleted

    race(run, threads=4)
    assert sum(counts) == 1000
    assert all(counts), "one run has done another one's work"
    assert everything() == (0, 0, 0)


@pytest.mark.django_db(transaction=True)
def test_four_runs_at_once_delete_orphaned_files() -> None:
    make_old(200)
    Inference.objects.all().delete()

    def run(_: int) -> None:
        retention.delete_orphaned_files()

    race(run, threads=4)
    assert files() == 0


def test_a_store_that_is_away_costs_at_most_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    make_old(25)
    with monkeypatch.context() as away:
        away.setattr(FolderStore, "delete", Mock(side_effect=StorageUnavailableError("away")))
        with pytest.raises(StorageUnavailableError):
            retention.delete_for_a_turn()
    assert everything() == (15, 15, 25)
    retention.delete_for_a_turn()
    assert everything() == (0, 0, 0), "the files of the lost batch are orphans, which go later"


def test_a_file_stays_if_a_row_that_was_created_at_another_time_references_it() -> None:
    (row,) = make_old(1, days=0)
    assert retention.delete_orphaned_files() == 0
    assert default_storage.exists(str(row.image.name))


def test_a_folder_of_orphans_that_takes_longer_than_a_turn_is_continued(
    set_clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    make_old(25)
    Inference.objects.all().delete()
    set_clock(1)
    assert [retention.delete_orphaned_files(end=end) for end in (1.5, 3.5, 100)] == [20, 5, 0]
    assert files() == 0


def test_previews_of_old_inferences_go_too() -> None:
    (row,) = make_old(1)
    cache.set(thumbnails._key(row.pk), b"preview")
    retention.delete_for_a_turn()
    assert cache.get(thumbnails._key(row.pk)) is None


def overdue_s() -> float:
    (value,) = [
        sample.value
        for metric in gauges.QueueGauges()()
        if metric.name == gauges.RETENTION_OVERDUE
        for sample in metric.samples
    ]
    return float(value)


def test_the_metric_tells_how_long_the_oldest_row_is_overdue() -> None:
    assert overdue_s() == 0
    make_old(1, days=29)
    assert overdue_s() == 0
    make_old(1, days=32)
    day_s = 24 * 3600
    assert 2 * day_s <= overdue_s() < 3 * day_s
    retention.delete_for_a_turn()
    assert overdue_s() == 0
