"""The worker's side: rows are claimed in batches, classified, and ended. No HTTP and no Celery in here."""

import logging
import math
import random
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from PIL import Image

from moon_vision_challenge.classification import events, images, log_context, prediction
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import ClassificationError, UnknownModelTypeError
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.prediction import VersionChoice
from moon_vision_challenge.classification.queue import claims
from moon_vision_challenge.classification.queue.claims import Outcome

logger = logging.getLogger(__name__)

STATUS = Inference.STATUS

STORED_PREDICTIONS = 5
"""So many of the most probable classes are kept on a row."""

_MAX_PIXELS_AT_ONCE = 25_000_000
"""A batch with more is classified in parts: Pillow keeps four bytes of each. A single picture may have more."""

_INTERNAL_ERROR = {"code": "internal_error", "detail": "The service has made an error; it is in its log."}
_WORKER_LOST = {"code": "worker_lost", "detail": "At every attempt, the worker was lost before it was done."}


def claim_batch(*, queue: str, limit: int | None = None) -> list[Inference]:
    """Claim waiting rows of this queue: one if one waits, up to `limit` of one model type if more do.

    Rows whose model type nobody has registered are the default queue's, where their attempts fail with a reason.

    Args:
        limit: INFERENCE_BATCH_SIZE if it is not given.
    """
    model_types, except_these = _served_by(queue)
    return claims.claim_waiting(
        model_types=model_types,
        except_these=except_these,
        limit=limit or settings.INFERENCE_BATCH_SIZE,
        lease=timedelta(seconds=settings.INFERENCE_LEASE_S),
    )


def is_waiting(*, queue: str) -> bool:
    """Whether a row of this queue could be claimed now."""
    model_types, except_these = _served_by(queue)
    named = Q(model_type__in=model_types)
    waiting = Inference.objects.filter(status=STATUS.PENDING, available_at__lte=Now())
    return waiting.filter(~named if except_these else named).exists()


def run_batch(inferences: Sequence[Inference]) -> list[Outcome]:
    """Classify claimed rows, asking the model about INFERENCE_BATCH_SIZE images at once, and write how each one ended.

    A row that cannot be classified fails alone. One that met a transient failure is put back, to be tried again after
    `retry_in_s`, until its attempts are used up.

    Returns:
        What was written. A row whose lease was lost meanwhile is not among it: it is another worker's now.
    """
    outcomes: list[Outcome] = []
    pictures: list[tuple[Inference, Image.Image]] = []
    pixels = 0
    for inference in inferences:
        try:
            pictures.append((inference, _read_image(inference)))
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not take the rest of the batch with it
            outcomes.append(_failed(inference, error))
            continue
        pixels += math.prod(pictures[-1][1].size)
        if pixels >= _MAX_PIXELS_AT_ONCE or len(pictures) == settings.INFERENCE_BATCH_SIZE:
            outcomes += _classify_versions(pictures)
            pictures, pixels = [], 0
    outcomes += _classify_versions(pictures)
    with transaction.atomic() if any(inference.webhook_url for inference in inferences) else nullcontext():
        written = claims.end_attempts(outcomes)
        events.announce_final([_after(outcome) for outcome in outcomes if outcome.inference.pk in written])
    for outcome in outcomes:
        with log_context.inference(outcome.inference.pk):
            if outcome.inference.pk not in written:
                logger.warning("the lease was lost, another worker has this inference; this answer is dropped")
            elif outcome.status == STATUS.DONE:
                logger.info("done: %s", outcome.label)
    return [outcome for outcome in outcomes if outcome.inference.pk in written]


def free_lost_inferences() -> None:
    """Let rows be claimed again whose worker died, and fail those that used up their attempts that way."""
    with transaction.atomic():
        freed, failed = claims.free_expired(max_attempts=settings.INFERENCE_MAX_ATTEMPTS, error=_WORKER_LOST)
        events.announce_final(failed)
    if freed or failed:
        logger.warning("lost workers: %d inferences are waiting again, %d have failed", freed, len(failed))


def find_waiting() -> dict[str, int]:
    """Queue → id of a row that could be claimed there now."""
    waiting = Inference.objects.filter(status=STATUS.PENDING, available_at__lte=Now())
    oldest = waiting.order_by("model_type", "available_at").distinct("model_type")
    return {queue_of(model_type): pk for model_type, pk in oldest.values_list("model_type", "pk")}


def queue_of(model_type: str) -> str:
    """The Celery queue in which inferences of this model type are worked off."""
    try:
        return dispatcher[model_type].queue
    except UnknownModelTypeError:
        return settings.INFERENCE_QUEUE


def _served_by(queue: str) -> tuple[list[str], bool]:
    """The model types of a queue; or, with True, those that are not its own, for the default queue."""
    is_default = queue == settings.INFERENCE_QUEUE
    return [name for name in dispatcher if (dispatcher[name].queue == queue) != is_default], is_default


def _after(outcome: Outcome) -> Inference:
    """The row as the outcome has made it, without reading it again."""
    inference = outcome.inference
    inference.status, inference.label, inference.error = outcome.status, outcome.label, outcome.error
    return inference


def _read_image(inference: Inference) -> Image.Image:
    with inference.image.open("rb") as file:
        image = images.open_image(file.read())
    return images.decode_rgb(image, min_side=dispatcher[inference.model_type].min_image_side)


def _classify_versions(pictures: Sequence[tuple[Inference, Image.Image]]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for version in dict.fromkeys(_version(inference) for inference, _ in pictures):
        outcomes += _classify([picture for picture in pictures if _version(picture[0]) == version])
    return outcomes


def _classify(pictures: Sequence[tuple[Inference, Image.Image]]) -> list[Outcome]:
    first = pictures[0][0]
    try:
        classifications, model_version = prediction.classify_and_tell_version(
            dispatcher[first.model_type],
            [image for _, image in pictures],
            version=_version(first),
            top_k=STORED_PREDICTIONS,
        )
    except Exception as error:  # noqa: BLE001  # of a consumer's class anything can come; the rows must not be left hanging
        if len(pictures) == 1 or (isinstance(error, ClassificationError) and error.retryable):
            return [_failed(inference, error) for inference, _ in pictures]
        # One of them may have spoilt it for all.
        return [outcome for picture in pictures for outcome in _classify([picture])]
    return [
        Outcome(inference, STATUS.DONE, found.label, predictions=found.predictions, model_version=model_version)
        for (inference, _), found in zip(pictures, classifications, strict=True)
    ]


def _version(inference: Inference) -> VersionChoice:
    return VersionChoice(inference.version, inference.version_label)


def _failed(inference: Inference, error: Exception) -> Outcome:
    with log_context.inference(inference.pk):
        if not isinstance(error, ClassificationError):
            logger.error("attempt %d failed by a mistake of ours", inference.attempts, exc_info=error)
            return Outcome(inference, STATUS.FAIL, error=_INTERNAL_ERROR)
        reason = {"code": error.code, "detail": error.detail}
        if error.retryable and inference.attempts < settings.INFERENCE_MAX_ATTEMPTS:
            retry_in_s = _backoff_s(inference.attempts)
            logger.warning("attempt %d failed, next in %.1f s: %s", inference.attempts, retry_in_s, error)
            return Outcome(inference, STATUS.PENDING, error=reason, retry_in_s=retry_in_s)
        logger.error("failed at attempt %d: %s", inference.attempts, error)
        return Outcome(inference, STATUS.FAIL, error=reason)


def _backoff_s(attempts: int) -> float:
    """Exponential with equal jitter: 1 to 2 s after the first attempt, doubling up to 30 to 60 s.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    ceiling = min(60.0, 2.0 ** min(attempts, 10))
    return ceiling / 2 + random.uniform(0, ceiling / 2)  # noqa: S311
