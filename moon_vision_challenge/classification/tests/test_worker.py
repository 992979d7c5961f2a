from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from moon_vision_challenge.classification.classificators import EfficientNetLite0Classificator
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, claims, picture_reader, sweep, worker
from moon_vision_challenge.classification.queue.routing import queue_of
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.pictures import encode, gradient
from moon_vision_challenge.classification.tests.rows import QUEUE, STATUS, create, run
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.observability.log_context import ContextFilter

pytestmark = pytest.mark.django_db


def test_a_run_finishes_the_row_with_the_label(inference: Inference, start_fake: StartFake) -> None:
    start_fake(fake.predicts(281))
    assert [outcome.label for outcome in run()] == ["tabby"]
    inference.refresh_from_db()
    assert (inference.status, inference.label, inference.error) == (STATUS.DONE, "tabby", None)
    assert inference.attempts == 1
    assert inference.started_at
    assert inference.finished_at
    assert inference.created_at <= inference.started_at <= inference.finished_at
    assert inference.lease_token is None


def test_a_batch_is_two_queries_and_one_request_to_the_model(
    jpeg: bytes, start_fake: StartFake, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    rows = [create(jpeg) for _ in range(5)]
    server = start_fake(fake.predicts(281))
    with django_assert_num_queries(2):  # claim, finish
        outcomes = run()
    assert [outcome.inference.pk for outcome in outcomes] == [row.pk for row in rows]
    assert len(server.requests) == 1
    assert len(server.requests[0][1]["instances"]) == 5


def test_a_large_claim_asks_the_model_about_one_batch_at_a_time(
    jpeg: bytes, start_fake: StartFake, settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.INFERENCE_BATCH_SIZE = 2
    rows = [create(jpeg) for _ in range(5)]
    server = start_fake(fake.predicts(281))
    with django_assert_num_queries(2):  # claim, finish
        outcomes = batch.run(worker.claim_batch(queue=QUEUE, limit=5))
    assert [outcome.inference.pk for outcome in outcomes] == [row.pk for row in rows]
    assert [len(body["instances"]) for _, body in server.requests] == [2, 2, 1]


def test_of_large_pictures_only_some_are_in_memory_at_once(
    start_fake: StartFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_reader, "_MAX_PIXELS_AT_ONCE", 2 * 60 * 40)
    for _ in range(5):
        create(encode(gradient(60, 40), "PNG"))
    server = start_fake(fake.predicts(281))
    assert [outcome.label for outcome in run()] == ["tabby"] * 5
    assert [len(body["instances"]) for _, body in server.requests] == [2, 2, 1]


def test_a_batch_is_bounded_and_takes_the_rows_that_waited_longest(jpeg: bytes, settings: Settings) -> None:
    settings.INFERENCE_BATCH_SIZE = 3
    rows = [create(jpeg) for _ in range(5)]
    for waited_s, row in enumerate(reversed(rows)):  # one transaction gives all of them the same time
        Inference.objects.filter(pk=row.pk).update(available_at=timezone.now() - timedelta(seconds=waited_s))
    assert {row.pk for row in worker.claim_batch(queue=QUEUE)} == {row.pk for row in rows[:3]}
    assert {row.pk for row in worker.claim_batch(queue=QUEUE)} == {row.pk for row in rows[3:]}
    assert worker.claim_batch(queue=QUEUE) == []


def test_a_batch_holds_one_model_type(jpeg: bytes) -> None:
    rows = [create(jpeg, model_type) for model_type in ("inception", "resnet", "inception")]
    assert [row.pk for row in worker.claim_batch(queue=QUEUE)] == [rows[0].pk, rows[2].pk]
    assert [row.pk for row in worker.claim_batch(queue=QUEUE)] == [rows[1].pk]


def test_a_row_before_its_time_is_not_claimed(inference: Inference) -> None:
    Inference.objects.update(available_at=timezone.now() + timedelta(hours=1))
    assert worker.claim_batch(queue=QUEUE) == []


def test_a_model_with_a_separate_queue_is_served_from_that_queue_only(
    jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EfficientNetLite0Classificator, "queue", "slow")
    slow, fast, gone = create(jpeg), create(jpeg, "resnet"), create(jpeg, "gone")
    assert queue_of("efficientnet_lite0") == "slow"
    assert queue_of("resnet") == queue_of("gone") == QUEUE
    assert [row.pk for row in worker.claim_batch(queue="slow")] == [slow.pk]
    assert worker.claim_batch(queue="slow") == []
    assert [row.pk for row in worker.claim_batch(queue=QUEUE)] == [fast.pk]
    assert [row.pk for row in worker.claim_batch(queue=QUEUE)] == [gone.pk]


def test_waiting_rows_move_with_the_queue_of_their_class(jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    moved, stays = create(jpeg), create(jpeg, "resnet")
    monkeypatch.setattr(EfficientNetLite0Classificator, "queue", "slow")
    gone = create(jpeg, "resnet")
    Inference.objects.filter(pk=gone.pk).update(queue="closed", model_type="gone")
    sweep.move_to_their_queues()
    assert dict(Inference.objects.values_list("pk", "queue")) == {moved.pk: "slow", stays.pk: QUEUE, gone.pk: QUEUE}
    assert sweep.find_waiting() == {"slow": moved.pk, QUEUE: stays.pk}


def test_log_lines_of_a_run_carry_the_inference_id(
    inference: Inference, start_fake: StartFake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(ContextFilter())
    caplog.set_level("INFO", logger=batch.__name__)
    start_fake(fake.predicts(281))
    run()
    assert {vars(record)["inference_id"] for record in caplog.records} == {inference.pk}


def test_more_waits_while_rows_of_another_model_type_do(jpeg: bytes) -> None:
    create(jpeg)
    other = create(jpeg, "resnet")
    assert [row.pk for row in worker.claim_batch(queue=QUEUE)] != [other.pk]
    assert claims.find_waiting(queue=QUEUE) == other.pk
    assert [row.pk for row in worker.claim_batch(queue=QUEUE)] == [other.pk]
    assert claims.find_waiting(queue=QUEUE) is None
