"""What a model server that is down, hangs, or is slow costs the rows that wait."""

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from moon_vision_challenge.classification.exceptions import (
    ModelServerUnavailableError,
)
from moon_vision_challenge.classification.models import Inference, Outage
from moon_vision_challenge.classification.prediction import VersionChoice
from moon_vision_challenge.classification.queue import batch
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.rows import STATUS, create, retry_now, run
from moon_vision_challenge.conftest import StartFake

pytestmark = pytest.mark.django_db


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


def test_a_transient_failure_puts_the_whole_batch_back_after_one_request(jpeg: bytes, start_fake: StartFake) -> None:
    for _ in range(3):
        create(jpeg)
    server = start_fake(fake.replies(503, {}))
    assert [outcome.status for outcome in run()] == [STATUS.PENDING] * 3
    assert len(server.requests) == 1
