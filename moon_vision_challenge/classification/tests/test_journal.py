"""The log lines about batches, failures, and rows that end without a worker."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from moon_vision_challenge.classification import images, journal, services
from moon_vision_challenge.classification.journal import logger
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, sweep, worker
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.observability import log_context
from moon_vision_challenge.observability.json_logs import JSONFormatter
from moon_vision_challenge.observability.line_logs import LineFormatter

pytestmark = pytest.mark.django_db

TRACE_IDS = [f"{number}{'a' * 31}" for number in range(1, 4)]
OnCommit = Callable[..., AbstractContextManager[list[Callable[[], Any]]]]


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.addFilter(log_context.ContextFilter())
        self.setFormatter(JSONFormatter())
        self.events: list[dict[str, Any]] = []
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.events.append(json.loads(self.format(record)))
        self.text.append(LineFormatter().format(record))


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def create(data: bytes, number: int = 1) -> Inference:
    traceparent = f"00-{TRACE_IDS[number - 1]}-{'b' * 16}-01"
    with log_context.about(request_id=f"request-{number}", traceparent=traceparent):
        inference, _ = services.create_inference(
            owner_id=0, model_type="efficientnet_lite0", image=images.open_image(data)
        )
    return inference


def drain(on_commit: OnCommit) -> None:
    with on_commit(execute=True):
        batch.run(worker.claim_batch(queue="inferences"))


def test_a_batch_is_claimed_and_asked_in_one_line_each_that_lists_all_ids(
    jpeg: bytes, lines: Lines, start_fake: StartFake, django_capture_on_commit_callbacks: OnCommit
) -> None:
    start_fake(fake.predicts(281)).status = fake.has_versions(3)
    rows = [create(jpeg, number) for number in (1, 2, 3)]
    drain(django_capture_on_commit_callbacks)
    assert [each["event"] for each in lines.events] == ["claimed", "asked", "ended", "ended", "ended"]
    for each in lines.events[:2]:
        assert each["inference_ids"] == [row.pk for row in rows]
        assert each["request_ids"] == ["request-1", "request-2", "request-3"]
        assert each["trace_ids"] == TRACE_IDS
        assert not {"inference_id", "request_id", "trace_id"} & each.keys()
    assert lines.events[1]["model_version"] == 3
    for each, row, trace_id in zip(lines.events[2:], rows, TRACE_IDS, strict=True):
        assert (each["inference_id"], each["request_id"], each["trace_id"]) == (row.pk, row.request_id, trace_id)
    for row in rows:  # as a reader of the log searches
        assert sum(f"inference={row.pk}" in text for text in lines.text) == 3


def test_an_attempt_that_fails_says_why_with_a_code(
    jpeg: bytes, lines: Lines, start_fake: StartFake, settings: Settings, django_capture_on_commit_callbacks: OnCommit
) -> None:
    settings.INFERENCE_MAX_ATTEMPTS = 1
    start_fake(fake.replies(504, {"error": "a secret"})).status = fake.has_versions(1)
    create(jpeg)
    drain(django_capture_on_commit_callbacks)
    _, asked, ended = lines.events
    assert asked["result"] == "model_server_timeout"
    assert ended | {"status": "fail", "error_code": "model_server_timeout", "attempts": 1} == ended
    assert "label" not in ended
    assert "secret" not in "".join(lines.text)


def test_an_image_that_cannot_be_read_ends_with_the_code_alone(
    jpeg: bytes, lines: Lines, django_capture_on_commit_callbacks: OnCommit
) -> None:
    row = create(jpeg)
    with row.image.storage.open(str(row.image.name), "wb") as file:
        file.write(b"<secret>")
    drain(django_capture_on_commit_callbacks)
    assert [each["event"] for each in lines.events] == ["claimed", "ended"]
    assert lines.events[-1]["error_code"] == "unsupported_image_format"
    assert "secret" not in "".join(lines.text)


def test_a_canceled_row_and_a_lost_one_end_too(
    jpeg: bytes, lines: Lines, settings: Settings, django_capture_on_commit_callbacks: OnCommit
) -> None:
    settings.INFERENCE_MAX_ATTEMPTS = 1
    with django_capture_on_commit_callbacks(execute=True):
        services.cancel_inference(inference_id=create(jpeg).pk, actor="test")
        create(jpeg)
        worker.claim_batch(queue="inferences")
        Inference.objects.filter(status="processing").update(lease_expires_at=timezone.now() - timedelta(hours=1))
        sweep.free_lost_inferences()
    _, canceled, lost = lines.events
    assert canceled["status"] == "canceled"
    assert (lost["status"], lost["error_code"]) == ("fail", "worker_lost")


def test_what_is_not_committed_is_not_logged_as_ended(jpeg: bytes, lines: Lines) -> None:
    services.cancel_inference(inference_id=create(jpeg).pk, actor="test")  # the test never commits
    assert connection.in_atomic_block
    assert lines.events == []


def test_a_label_cannot_begin_a_line(lines: Lines) -> None:
    label = "cat\n2026-01-01 INFO forged \x1b[31m" + "x" * 3000
    now = timezone.now()
    journal.ended(Inference(pk=1, status="done", label=label, created_at=now, started_at=now, finished_at=now))
    assert lines.text[0].isprintable()
    assert "cat\\n2026" in lines.text[0]
    assert len(lines.events[0]["label"]) == 200
