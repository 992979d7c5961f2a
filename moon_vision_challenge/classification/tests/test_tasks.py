"""Messages in a real Redis. test_queue.py tests what a real worker process does with them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from unittest.mock import patch

import pytest
from celery.result import EagerResult
from django.conf import settings as django_settings
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from moon_vision_challenge.classification import services, tasks
from moon_vision_challenge.classification.images import open_image
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import worker
from moon_vision_challenge.classification.tests.fake_model_server import predicts, replies
from moon_vision_challenge.classification.tests.waiting import LIMIT_S
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.tests.silent_server import SilentServer

QUEUE = "inferences"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def redis() -> Iterator[Redis]:
    client = Redis.from_url(django_settings.REDIS_URL)
    client.flushdb()
    yield client
    client.close()


@pytest.fixture(autouse=True)
def _the_turn_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "TURN_S", 600)


@pytest.fixture
def inference() -> Inference:
    return Inference.objects.create(model_type="resnet", image="x.jpg")


def test_a_message_is_sent_when_the_row_is_committed_not_before(inference: Inference, redis: Redis) -> None:
    with transaction.atomic():
        tasks.enqueue_inference(inference)
        assert redis.llen(QUEUE) == 0
    assert redis.llen(QUEUE) == 1


def test_no_message_is_sent_for_a_row_that_is_rolled_back(inference: Inference, redis: Redis) -> None:
    with transaction.atomic():
        tasks.enqueue_inference(inference)
        transaction.set_rollback(True)
    assert redis.llen(QUEUE) == 0


def test_a_message_carries_the_id_and_nothing_of_the_image(inference: Inference, redis: Redis) -> None:
    tasks.enqueue_inference(inference)
    (message,) = redis.lrange(QUEUE, 0, -1)
    assert len(message) < 2000
    assert f"({inference.pk},)".encode() in message


def test_a_message_that_lies_there_serves_later_rows_too(inference: Inference, redis: Redis) -> None:
    for _ in range(3):
        tasks.enqueue_inference(inference)
    assert redis.llen(QUEUE) == 1


@pytest.mark.e2e
def test_without_redis_the_row_just_waits() -> None:
    # A separate process has a separate pool of connections. Nothing listens at this address.
    script = (
        "import django; django.setup(); from moon_vision_challenge.classification import tasks; tasks._wake('q', 7)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "REDIS_URL": "redis://127.0.0.1:9/0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert result.returncode == 0, result.stderr
    assert "inference 7 waits for the sweep: the queue is not available" in result.stderr


@pytest.mark.e2e
def test_a_redis_that_hangs_is_waited_for_once() -> None:
    script = (
        "import django; django.setup(); from moon_vision_challenge.classification import tasks\n"
        "has_message = tasks._has_message\n"
        "tasks._has_message = lambda queue: print('asked') or has_message(queue)\n"
        "tasks._queue_breaker._open_s = 600\n"
        "for _ in range(3): tasks._wake('q', 7)"
    )
    with SilentServer() as silent:
        result = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "REDIS_URL": f"redis://{silent.address}/0"},
            capture_output=True,
            text=True,
            check=True,
            timeout=LIMIT_S,
        )
    assert result.stdout.split() == ["asked"]


def test_the_sweep_wakes_a_worker_for_a_row_whose_message_was_lost(inference: Inference, redis: Redis) -> None:
    tasks.sweep_inferences()
    (message,) = redis.lrange(QUEUE, 0, -1)
    assert f"({inference.pk},)".encode() in message


def test_the_sweep_sends_nothing_when_nothing_waits(redis: Redis) -> None:
    tasks.sweep_inferences()
    assert redis.llen(QUEUE) == 0


def test_the_sweep_frees_rows_of_lost_workers_and_wakes_another(inference: Inference, redis: Redis) -> None:
    Inference.objects.update(status="processing", lease_expires_at=timezone.now() - timedelta(seconds=1))
    tasks.sweep_inferences()
    inference.refresh_from_db()
    assert inference.status == Inference.STATUS.PENDING
    assert redis.llen(QUEUE) == 1


def run(inference: Inference) -> "EagerResult[str]":
    return tasks.run_inference.apply((inference.pk,), routing_key=QUEUE)


def test_a_failed_inference_is_a_failed_task_with_its_reason(inference: Inference) -> None:
    result = run(inference)  # its file does not exist
    assert result.state == "FAILURE"
    assert f"{inference.pk}: {{'code': 'internal_error'" in str(result.result)


def test_a_full_batch_wakes_the_next_worker_before_it_is_worked_off(
    inference: Inference, redis: Redis, settings: Settings
) -> None:
    settings.INFERENCE_BATCH_SIZE = 1
    Inference.objects.create(model_type="resnet", image="y.jpg")
    run(inference)
    assert redis.llen(QUEUE) == 1


def create(jpeg: bytes, count: int) -> list[Inference]:
    return [services.create_inference(owner_id=0, model_type="resnet", image=open_image(jpeg))[0] for _ in range(count)]


def test_in_a_backlog_a_task_continues_and_claims_more_each_time(
    jpeg: bytes, start_fake: StartFake, redis: Redis, settings: Settings
) -> None:
    settings.INFERENCE_BATCH_SIZE = 1
    rows = create(jpeg, 12)
    start_fake(predicts(281))
    with patch.object(worker, "claim_batch", wraps=worker.claim_batch) as claim:
        result = run(rows[0])
    assert [call.kwargs["limit"] for call in claim.call_args_list] == [1, 2, 4, 4, 4]
    assert set(str(result.result).split(", ")) == {f"{row.pk}: done" for row in rows}  # a claim promises no order
    assert redis.llen(QUEUE) == 1  # for the other workers


def test_a_task_whose_turn_is_over_leaves_the_rest_to_the_next_message(
    jpeg: bytes, start_fake: StartFake, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.INFERENCE_BATCH_SIZE = 2
    monkeypatch.setattr(worker, "TURN_S", 0)
    rows = create(jpeg, 5)
    start_fake(predicts(281))
    assert run(rows[0]).result == f"{rows[0].pk}: done, {rows[1].pk}: done"
    assert redis.llen(QUEUE) == 1


def test_a_failure_ends_the_turn_so_that_the_task_that_fails_is_the_one_that_names_it(
    jpeg: bytes, start_fake: StartFake, redis: Redis, settings: Settings
) -> None:
    settings.INFERENCE_BATCH_SIZE = 1
    rows = create(jpeg, 3)
    Inference.objects.filter(pk=rows[0].pk).update(image="gone.jpg")
    start_fake(predicts(281))
    result = run(rows[0])
    assert (result.state, str(result.result).split(":")[0]) == ("FAILURE", str(rows[0].pk))
    assert Inference.objects.filter(status=Inference.STATUS.PENDING).count() == 2
    assert redis.llen(QUEUE) == 1


def test_a_transient_failure_sends_a_message_for_later(jpeg: bytes, start_fake: StartFake, redis: Redis) -> None:
    start_fake(replies(503, {}))
    inference, _ = services.create_inference(owner_id=0, model_type="resnet", image=open_image(jpeg))
    result = run(inference)
    assert (result.state, result.result) == ("SUCCESS", f"{inference.pk}: pending")
    (message,) = redis.lrange(QUEUE, 0, -1)
    assert b'"eta": "20' in message


def test_a_message_that_finds_nothing_is_a_success(inference: Inference) -> None:
    Inference.objects.all().delete()
    assert run(inference).result == ""
