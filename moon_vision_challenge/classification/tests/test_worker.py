from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from django.utils import timezone
from PIL import Image
from pytest_django import DjangoAssertNumQueries, Settings

from moon_vision_challenge.classification import images, services
from moon_vision_challenge.classification.classificators import EfficientNetLite0Classificator
from moon_vision_challenge.classification.exceptions import (
    InvalidPredictionError,
    ModelServerUnavailableError,
    UnknownModelTypeError,
)
from moon_vision_challenge.classification.models import Inference, Outage
from moon_vision_challenge.classification.prediction import NEWEST, VersionChoice
from moon_vision_challenge.classification.queue import batch, claims, sweep, worker
from moon_vision_challenge.classification.queue.claims import AttemptOutcome
from moon_vision_challenge.classification.queue.routing import queue_of
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.pictures import encode, gradient
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.observability.log_context import ContextFilter

pytestmark = pytest.mark.django_db

STATUS = Inference.STATUS
QUEUE = "inferences"


def create(data: bytes, model_type: str = "efficientnet_lite0", version: VersionChoice = NEWEST) -> Inference:
    inference, _ = services.create_inference(
        owner_id=0, model_type=model_type, image=images.open_image(data), version=version
    )
    return inference


def open_rgb(data: bytes) -> Image.Image:
    min_side = EfficientNetLite0Classificator().min_image_side
    return images.open_image(data).decode(min_side=min_side)


def retry_now() -> None:
    """As if all pauses were over."""
    Inference.objects.update(available_at=timezone.now())
    Outage.objects.update(until=timezone.now())


@pytest.fixture
def inference(jpeg: bytes) -> Inference:
    return create(jpeg)


def run() -> list[AttemptOutcome]:
    return batch.run(worker.claim_batch(queue=QUEUE))


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
    monkeypatch.setattr(batch, "_MAX_PIXELS_AT_ONCE", 2 * 60 * 40)
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


def test_a_transient_failure_puts_the_row_back_with_its_reason(inference: Inference, start_fake: StartFake) -> None:
    start_fake(fake.replies(503, {"error": "loading"}))
    begin = timezone.now()
    (outcome,) = run()
    assert 1 <= outcome.retry_in_s <= 2
    inference.refresh_from_db()
    assert (inference.status, inference.attempts, inference.finished_at) == (STATUS.PENDING, 0, None)
    assert inference.error == {"code": "model_server_unavailable", "detail": ModelServerUnavailableError.detail}
    assert inference.available_at > begin + timedelta(seconds=1)


def test_success_after_a_transient_failure_clears_the_reason(inference: Inference, start_fake: StartFake) -> None:
    server = start_fake(fake.replies(503, {"error": "loading"}))
    run()
    retry_now()
    server.answer = fake.predicts(281)
    run()
    inference.refresh_from_db()
    assert (inference.status, inference.attempts, inference.error) == (STATUS.DONE, 1, None)


def test_half_of_a_pause_is_random() -> None:
    pauses = [batch._jittered(30) for _ in range(200)]
    assert 15 <= min(pauses) < max(pauses) <= 30


def test_a_model_server_that_is_away_uses_up_no_attempt(
    inference: Inference, start_fake: StartFake, settings: Settings
) -> None:
    settings.INFERENCE_MAX_ATTEMPTS = 1
    server = start_fake(fake.replies(503, {"error": "loading"}))
    for _ in range(3):
        retry_now()
        run()
    server.answer = fake.predicts(281)
    retry_now()
    run()
    inference.refresh_from_db()
    assert (inference.status, inference.attempts, inference.error) == (STATUS.DONE, 1, None)
    assert (inference.unavailable_since, Outage.objects.count()) == (None, 0)


def test_a_row_that_met_nothing_but_an_outage_for_too_long_fails_with_its_reason(
    inference: Inference, start_fake: StartFake, settings: Settings
) -> None:
    settings.INFERENCE_MAX_OUTAGE_S = 3600
    start_fake(fake.replies(404, {"error": "Servable not found"}))
    Inference.objects.update(unavailable_since=timezone.now() - timedelta(hours=2))
    run()
    inference.refresh_from_db()
    assert inference.status == STATUS.FAIL
    assert inference.error is not None
    assert inference.error["code"] == "model_not_available"


def test_a_version_that_one_client_requests_does_not_affect_other_clients(jpeg: bytes, start_fake: StartFake) -> None:
    create(jpeg, version=VersionChoice(99))
    start_fake(fake.replies(404, {"error": "Servable not found"}))
    run()
    assert not Outage.objects.exists()


def test_a_model_server_that_hangs_is_an_outage_and_one_that_is_slow_is_not(
    inference: Inference, start_fake: StartFake, settings: Settings
) -> None:
    settings.TF_SERVING_TIMEOUT_S = settings.TF_SERVING_CONNECT_TIMEOUT_S = 0.3
    server = start_fake(fake.stalls)
    run()
    inference.refresh_from_db()
    assert (inference.attempts, Outage.objects.count()) == (0, 1)
    server.status = fake.has_versions(1)
    settings.TF_SERVING_CONNECT_TIMEOUT_S = 60
    retry_now()
    run()
    inference.refresh_from_db()
    assert (inference.attempts, Outage.objects.count()) == (1, 0)


def test_when_a_batch_times_out_its_rows_are_tried_alone_and_only_the_slow_one_is_charged(
    jpeg: bytes, start_fake: StartFake, settings: Settings
) -> None:
    settings.INFERENCE_MAX_ATTEMPTS = 2
    slow_jpeg = encode(gradient(60, 40), "JPEG")
    rows = [create(jpeg), create(slow_jpeg), create(jpeg)]
    asked: list[int] = []
    too_slow = fake.replies(504, {"error": "deadline"})  # counts as a timeout, without the wait

    def answer(handler: fake.Handler) -> None:
        instances = handler.server.requests[-1][1]["instances"]
        asked.append(len(instances))
        is_slow = any(instance != usual for instance in instances)
        (too_slow if is_slow else fake.predicts(281))(handler)

    server = start_fake(fake.predicts(281))
    server.status = fake.has_versions(1)
    usual = EfficientNetLite0Classificator().preprocess_input(open_rgb(jpeg)).value
    server.requests.clear()
    server.answer = answer
    for _ in range(8):
        retry_now()
        run()
    for row in rows:
        row.refresh_from_db()
    assert [row.status for row in rows] == [STATUS.DONE, STATUS.FAIL, STATUS.DONE]
    assert [row.attempts for row in rows] == [1, 2, 1]
    assert asked[0] == 3
    assert set(asked[1:]) == {1}


def test_a_result_that_cannot_be_stored_fails_alone_in_its_batch(jpeg: bytes, start_fake: StartFake) -> None:
    rows = [create(jpeg) for _ in range(3)]
    start_fake(fake.predicts(281))
    labels = iter(["tabby", "a\0b", *["tabby", "a\0b", "tabby"]])  # of all together, then of each alone
    with patch.object(EfficientNetLite0Classificator, "decode_predictions", lambda *_: next(labels)):
        run()
    for row in rows:
        row.refresh_from_db()
    assert [row.status for row in rows] == [STATUS.DONE, STATUS.FAIL, STATUS.DONE]
    assert rows[1].error is not None
    assert rows[1].error["code"] == "invalid_prediction"


def test_waiting_rows_move_with_the_queue_of_their_class(jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    moved, stays = create(jpeg), create(jpeg, "resnet")
    monkeypatch.setattr(EfficientNetLite0Classificator, "queue", "slow")
    gone = create(jpeg, "resnet")
    Inference.objects.filter(pk=gone.pk).update(queue="closed", model_type="gone")
    sweep.move_to_their_queues()
    assert dict(Inference.objects.values_list("pk", "queue")) == {moved.pk: "slow", stays.pk: QUEUE, gone.pk: QUEUE}
    assert sweep.find_waiting() == {"slow": moved.pk, QUEUE: stays.pk}


def test_after_the_last_attempt_the_row_fails_with_its_reason(
    inference: Inference, start_fake: StartFake, settings: Settings
) -> None:
    settings.INFERENCE_MAX_ATTEMPTS = 1
    settings.TF_SERVING_TIMEOUT_S = 0.3
    server = start_fake(fake.stalls)
    server.status = fake.has_versions(1)
    run()
    inference.refresh_from_db()
    assert (inference.status, inference.label) == (STATUS.FAIL, "")
    assert inference.error is not None
    assert inference.error["code"] == "model_server_timeout"
    assert inference.finished_at is not None


def test_a_permanent_failure_fails_at_the_first_attempt(inference: Inference, start_fake: StartFake) -> None:
    start_fake(fake.replies(200, b"nonsense"))
    run()
    inference.refresh_from_db()
    assert (inference.status, inference.attempts) == (STATUS.FAIL, 1)
    assert inference.error == {"code": "invalid_prediction", "detail": InvalidPredictionError.detail}


def test_a_model_type_that_is_no_longer_registered_fails_with_its_reason(jpeg: bytes) -> None:
    inference = create(jpeg, "gone")
    run()
    inference.refresh_from_db()
    assert (inference.status, inference.attempts) == (STATUS.FAIL, 1)
    assert inference.error == {"code": "unknown_model_type", "detail": UnknownModelTypeError.detail}


def test_a_damaged_file_fails_alone_in_its_batch(jpeg: bytes, start_fake: StartFake) -> None:
    rows = [create(jpeg) for _ in range(3)]
    Path(rows[1].image.path).write_bytes(jpeg[:2000])
    Path(rows[2].image.path).unlink()
    start_fake(fake.predicts(281))
    run()
    for row in rows:
        row.refresh_from_db()
    assert [row.status for row in rows] == [STATUS.DONE, STATUS.FAIL, STATUS.FAIL]
    assert [row.error and row.error["code"] for row in rows] == [None, "unreadable_image", "internal_error"]


def test_an_image_that_the_model_refuses_fails_alone_in_its_batch(jpeg: bytes, start_fake: StartFake) -> None:
    def refuses_batches_and_the_second(handler: fake.Handler) -> None:
        answers = [fake.replies(400, {"error": "no"}), fake.predicts(281), fake.replies(400, {}), fake.predicts(281)]
        answers[len(handler.server.requests) - 1](handler)

    rows = [create(jpeg) for _ in range(3)]
    start_fake(refuses_batches_and_the_second)
    run()
    for row in rows:
        row.refresh_from_db()
    assert [row.status for row in rows] == [STATUS.DONE, STATUS.FAIL, STATUS.DONE]


def test_a_transient_failure_puts_the_whole_batch_back_after_one_request(jpeg: bytes, start_fake: StartFake) -> None:
    for _ in range(3):
        create(jpeg)
    server = start_fake(fake.replies(503, {}))
    assert [outcome.status for outcome in run()] == [STATUS.PENDING] * 3
    assert len(server.requests) == 1


def test_an_internal_error_fails_the_row_without_showing_its_text(inference: Inference) -> None:
    with patch.object(EfficientNetLite0Classificator, "preprocess_input", side_effect=ZeroDivisionError("a secret")):
        run()
    inference.refresh_from_db()
    assert inference.status == STATUS.FAIL
    assert inference.error is not None
    assert inference.error["code"] == "internal_error"
    assert "secret" not in str(inference.error)


def test_log_lines_of_a_run_carry_the_inference_id(
    inference: Inference, start_fake: StartFake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(ContextFilter())
    caplog.set_level("INFO", logger=batch.__name__)
    start_fake(fake.predicts(281))
    run()
    assert [vars(record)["inference_id"] for record in caplog.records] == [inference.pk]


def test_more_waits_while_rows_of_another_model_type_do(jpeg: bytes) -> None:
    create(jpeg)
    other = create(jpeg, "resnet")
    assert [row.pk for row in worker.claim_batch(queue=QUEUE)] != [other.pk]
    assert claims.find_waiting(queue=QUEUE) == other.pk
    assert [row.pk for row in worker.claim_batch(queue=QUEUE)] == [other.pk]
    assert claims.find_waiting(queue=QUEUE) is None
