"""Rows that fail, with their reasons, and the rows of the same batch that do not."""

import base64
from pathlib import Path
from unittest.mock import patch

import pytest
from PIL import Image
from pytest_django import Settings

from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.classificators import EfficientNetLite0Classificator
from moon_vision_challenge.classification.exceptions import (
    InvalidPredictionError,
    UnknownModelTypeError,
)
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.pictures import encode, gradient
from moon_vision_challenge.classification.tests.rows import STATUS, create, retry_now, run
from moon_vision_challenge.conftest import StartFake

pytestmark = pytest.mark.django_db


def open_rgb(data: bytes) -> Image.Image:
    min_side = EfficientNetLite0Classificator().min_image_side
    return images.open_image(data).decode(min_side=min_side)


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
    pixels = EfficientNetLite0Classificator().preprocess_input(open_rgb(jpeg)).value
    usual = {"b64": base64.b64encode(pixels).decode()}
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
    labels = iter(["tabby", "a\0b", *["tabby", "a\0b", "tabby"]])  # for the batch, then for each row alone
    with patch.object(EfficientNetLite0Classificator, "decode_predictions", lambda *_: next(labels)):
        run()
    for row in rows:
        row.refresh_from_db()
    assert [row.status for row in rows] == [STATUS.DONE, STATUS.FAIL, STATUS.DONE]
    assert rows[1].error is not None
    assert rows[1].error["code"] == "invalid_prediction"


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


def test_an_internal_error_fails_the_row_without_showing_its_text(inference: Inference) -> None:
    with patch.object(EfficientNetLite0Classificator, "preprocess_input", side_effect=ZeroDivisionError("a secret")):
        run()
    inference.refresh_from_db()
    assert inference.status == STATUS.FAIL
    assert inference.error is not None
    assert inference.error["code"] == "internal_error"
    assert "secret" not in str(inference.error)
