"""Processes one claim: reads its images, classifies them together, and gives each row its outcome."""

import logging
import random
import time
from collections.abc import Sequence, Set
from contextlib import nullcontext

from django.conf import settings
from django.db import DataError, IntegrityError, transaction

from moon_vision_challenge.classification import events, journal, prediction, reuse
from moon_vision_challenge.classification.abstract_classificator import Classification
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
    StorageUnavailableError,
)
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.prediction import VersionChoice
from moon_vision_challenge.classification.queue import claims, outages, picture_reader
from moon_vision_challenge.classification.queue.claims import AttemptOutcome
from moon_vision_challenge.classification.queue.picture_reader import Picture
from moon_vision_challenge.classification.results import STORED_PREDICTIONS
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.observability import metrics, tracing
from moon_vision_challenge.observability.span import Kind, Span

logger = logging.getLogger(__name__)

_INTERNAL_ERROR = {"code": "internal_error", "detail": "Internal error. It has been logged."}
_UNSTORABLE = {"code": "invalid_prediction", "detail": "The model returned an unusable answer."}

STATUS = Inference.STATUS


def run(inferences: Sequence[Inference]) -> list[AttemptOutcome]:
    """Classify claimed rows, INFERENCE_BATCH_SIZE images per request to the model, and write each outcome.

    A row that cannot be classified fails alone. After a transient failure, a row is requeued and retried after
    `retry_in_s`, until its attempts are used up. While a service is unavailable, no attempts are used up.

    Returns:
        The outcomes that were written. Rows whose lease was lost are missing: they belong to another worker now.
    """
    for inference in inferences:
        _show_wait(inference)
    parents = [inference.traceparent for inference in inferences]
    with tracing.spans("process inference", Kind.CONSUMER, parents) as spans:
        for inference, span in zip(inferences, spans, strict=True):
            inference.traceparent = span.traceparent
        outcomes = _try(inferences)
        if tracing.IS_ON:
            _describe(spans, inferences, outcomes)
        written = _report(outcomes, _write(outcomes))
    _keep_results(written)
    return written


def _try(inferences: Sequence[Inference]) -> list[AttemptOutcome]:
    outcomes: list[AttemptOutcome] = []
    for part in picture_reader.read_parts(inferences):
        outcomes += [_failed(inference, error) for inference, error in part.failures]
        outcomes += _classify_versions(part.pictures)
    return outcomes


def _report(outcomes: Sequence[AttemptOutcome], written: Set[int]) -> list[AttemptOutcome]:
    """Count and log the outcomes. Return those that were written."""
    for outcome in outcomes:
        metrics.attempts.labels(outcome.inference.model_type, outcome.status).inc()
        if outcome.inference.pk not in written:
            with journal.about([outcome.inference]):
                logger.warning("the lease was lost and another worker has this inference, so this result is dropped")
    return [outcome for outcome in outcomes if outcome.inference.pk in written]


def _keep_results(outcomes: Sequence[AttemptOutcome]) -> None:
    reuse.keep_results(
        [
            (each.inference, Classification(each.label, each.predictions), each.model_version)
            for each in outcomes
            if each.status == STATUS.DONE and each.inference.job_id is None
        ]
    )


def _show_wait(inference: Inference) -> None:
    if tracing.IS_ON and inference.started_at:
        begin_s, end_s = inference.created_at.timestamp(), inference.started_at.timestamp()
        tracing.add_past("wait in queue", inference.traceparent, begin_s=begin_s, end_s=end_s)


def _describe(spans: Sequence[Span], inferences: Sequence[Inference], outcomes: Sequence[AttemptOutcome]) -> None:
    by_id = {outcome.inference.pk: outcome for outcome in outcomes}
    for span, inference in zip(spans, inferences, strict=True):
        outcome = by_id[inference.pk]
        span.note(inference__id=inference.pk, inference__model_type=inference.model_type)
        span.note(inference__attempt=inference.attempts, inference__batch_size=len(inferences))
        if outcome.error:
            span.fail(outcome.error["code"])


def _write(outcomes: Sequence[AttemptOutcome]) -> set[int]:
    """End the attempts with one statement. If one cannot be stored, end each one alone, so that only that one fails."""
    try:
        return _end(outcomes)
    except (DataError, IntegrityError, ValueError) as error:
        if len(outcomes) > 1:
            return {pk for outcome in outcomes for pk in _write([outcome])}
        (outcome,) = outcomes
        with journal.about([outcome.inference]):
            logger.exception("the result cannot be stored", exc_info=error)
        return _end([AttemptOutcome(outcome.inference, STATUS.FAIL, error=_UNSTORABLE)])


def _end(outcomes: Sequence[AttemptOutcome]) -> set[int]:
    away = {_neighbour(outcome) for outcome in outcomes if outcome.is_outage}
    needs_transaction = away or any(outcome.inference.webhook_url for outcome in outcomes)
    with transaction.atomic() if needs_transaction else nullcontext():
        written = claims.end_attempts(outcomes)
        events.announce_final(_after(outcome) for outcome in outcomes if outcome.inference.pk in written)
        if away:
            outages.begin(away)
    return written


def _neighbour(outcome: AttemptOutcome) -> str:
    is_store = outcome.error is not None and outcome.error["code"] == StorageUnavailableError.code
    return outages.MEDIA_STORE if is_store else outcome.inference.model_type


def _after(outcome: AttemptOutcome) -> Inference:
    """Return the row with the outcome applied, without reading it again."""
    inference = outcome.inference
    inference.status, inference.label, inference.error = outcome.status, outcome.label, outcome.error
    return inference


def _classify_versions(pictures: Sequence[Picture]) -> list[AttemptOutcome]:
    outcomes: list[AttemptOutcome] = []
    for version in dict.fromkeys(_version(inference) for inference, _ in pictures):
        outcomes += _classify([picture for picture in pictures if _version(picture[0]) == version])
    return outcomes


def _classify(pictures: Sequence[Picture]) -> list[AttemptOutcome]:
    inferences = [inference for inference, _ in pictures]
    first, begin = inferences[0], time.perf_counter()
    try:
        with tracing.spans("classify", Kind.INTERNAL, [each.traceparent for each in inferences]):
            classifications, model_version = prediction.classify_and_tell_version(
                dispatcher[first.model_type],
                [image for _, image in pictures],
                version=_version(first),
                top_k=STORED_PREDICTIONS,
            )
    except Exception as error:  # noqa: BLE001  # a consumer's class can raise anything, and must not leave rows hanging
        code = getattr(error, "code", _INTERNAL_ERROR["code"])
        journal.asked(inferences, version=first.version, seconds=time.perf_counter() - begin, result=code)
        return _not_classified(pictures, error)
    journal.asked(inferences, version=model_version, seconds=time.perf_counter() - begin, result="ok")
    return [
        AttemptOutcome(inference, STATUS.DONE, found.label, predictions=found.predictions, model_version=model_version)
        for (inference, _), found in zip(pictures, classifications, strict=True)
    ]


def _not_classified(pictures: Sequence[Picture], error: Exception) -> list[AttemptOutcome]:
    model_url = dispatcher[pictures[0][0].model_type].model_url
    if isinstance(error, ModelServerTimeoutError) and not metadata.is_answering(model_url):
        error = ModelServerUnavailableError(str(error))  # the model server hangs, and these images are not the cause
    known = error if isinstance(error, ClassificationError) else None
    if len(pictures) == 1 or (known and known.is_outage):
        return [_failed(inference, error) for inference, _ in pictures]
    if known and known.retryable:
        # One picture may have failed the whole batch, and retrying each one now may take as long each time.
        return [
            AttemptOutcome(inference, STATUS.PENDING, error=_reason(known), is_charged=False, claim_alone=True)
            for inference, _ in pictures
        ]
    return [outcome for picture in pictures for outcome in _classify([picture])]


def _failed(inference: Inference, error: Exception) -> AttemptOutcome:
    with journal.about([inference]):
        if not isinstance(error, ClassificationError):
            logger.error("attempt %d failed with an internal error", inference.attempts, exc_info=error)
            return AttemptOutcome(inference, STATUS.FAIL, error=_INTERNAL_ERROR)
        if error.is_outage and _outage_s(inference) < settings.INFERENCE_MAX_OUTAGE_S:
            retry_in_s = _jittered(min(60.0, max(2.0, _outage_s(inference) / 2)))
            logger.warning("a service is unavailable, next attempt in %.1f s: %s", retry_in_s, error)
            return AttemptOutcome(
                inference, STATUS.PENDING, error=_reason(error), retry_in_s=retry_in_s, is_charged=False, is_outage=True
            )
        if error.retryable and not error.is_outage and inference.attempts < settings.INFERENCE_MAX_ATTEMPTS:
            retry_in_s = _jittered(min(60.0, 2.0 ** min(inference.attempts, 10)))
            logger.warning("attempt %d failed, next in %.1f s: %s", inference.attempts, retry_in_s, error)
            return AttemptOutcome(inference, STATUS.PENDING, error=_reason(error), retry_in_s=retry_in_s)
        logger.error("failed at attempt %d: %s", inference.attempts, error)
        return AttemptOutcome(inference, STATUS.FAIL, error=_reason(error))


def _outage_s(inference: Inference) -> float:
    """Return how long every attempt of this row has met an unavailable service. Both times are from PostgreSQL."""
    if inference.unavailable_since is None or inference.started_at is None:
        return 0.0
    return (inference.started_at - inference.unavailable_since).total_seconds()


def _jittered(ceiling_s: float) -> float:
    """Apply equal jitter: half of the pause is random, so that rows that failed together do not return together.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return ceiling_s / 2 + random.uniform(0, ceiling_s / 2)  # noqa: S311  # not a secret


def _reason(error: ClassificationError) -> dict[str, str]:
    return {"code": error.code, "detail": error.detail}


def _version(inference: Inference) -> VersionChoice:
    return VersionChoice(inference.version, inference.version_label)
