"""A second beat does no harm: a task that runs twice at once does the work of one."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from redis import Redis

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests.racing import race
from moon_vision_challenge.webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db(transaction=True)

LOST = "https://example.com/lost"


def run_twice_at_once(task: str) -> None:
    race(lambda _: current_app.tasks[task](), threads=2)


def make(**fields: Any) -> Inference:
    name = default_storage.save(f"inferences/2020/01/01/{uuid.uuid4().hex}.jpg", ContentFile(b"x"))
    return Inference.objects.create(model_type="efficientnet_lite0", image=name, **fields)


@pytest.fixture(autouse=True, scope="module")
def _tasks() -> None:
    """Import the tasks of all apps, as Celery does when a worker starts."""
    current_app.loader.import_default_modules()


@pytest.fixture(autouse=True)
def _no_messages() -> Iterator[None]:
    """Delete the messages that the tasks send."""
    yield
    Redis.from_url(settings.CELERY_BROKER_URL).flushdb()


def test_two_beats_do_the_work_of_one() -> None:
    now = timezone.now()
    old = now - timedelta(days=100)
    lease = {"lease_token": uuid.uuid4(), "lease_expires_at": now - timedelta(seconds=1)}
    lost = [make(status="processing", attempts=1, **lease) for _ in range(8)]
    last = make(
        status="processing",
        attempts=settings.INFERENCE_MAX_ATTEMPTS,
        lease_token=uuid.uuid4(),
        lease_expires_at=now - timedelta(seconds=1),
        webhook_url=LOST,
    )
    kept = make(status="done", finished_at=now)
    for _ in range(20):
        make(status="done", created_at=old, finished_at=old)
    for task in [str(each["task"]) for each in settings.CELERY_BEAT_SCHEDULE.values()]:
        run_twice_at_once(task)
    assert set(Inference.objects.values_list("pk", flat=True)) == {kept.pk, last.pk, *(each.pk for each in lost)}
    for each in lost:
        each.refresh_from_db()
        assert (each.status, each.attempts) == ("pending", 0)  # given back once, not twice
    last.refresh_from_db()
    assert last.status == "fail"
    assert WebhookDelivery.objects.filter(subject_id=last.pk).count() == 1
    assert len(default_storage.listdir("inferences/2020/01/01")[1]) == Inference.objects.count()
