"""What clients can do: classify, create an inference, wait for it, and cancel it. Independent of HTTP and Celery."""

import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.core.files.base import ContentFile
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models.functions import Now
from psycopg2.errors import UniqueViolation

from moon_vision_challenge.accounts import audit
from moon_vision_challenge.accounts.caller import Caller
from moon_vision_challenge.classification import events, prediction, thumbnails
from moon_vision_challenge.classification import reuse as reuse_results
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import (
    IdempotencyConflictError,
    InferenceInProgressError,
    InferenceNotFailedError,
    InferenceNotPendingError,
)
from moon_vision_challenge.classification.images import EncodedImage
from moon_vision_challenge.classification.images.metadata import without_metadata
from moon_vision_challenge.classification.models import FINAL_STATUSES, IdempotencyKey, Inference
from moon_vision_challenge.classification.prediction import NEWEST, VersionChoice
from moon_vision_challenge.classification.queue import backlog, turns
from moon_vision_challenge.classification.queue.routing import queue_of
from moon_vision_challenge.classification.reuse import NO_REUSE, Answer, Reuse
from moon_vision_challenge.concurrency_limit import ConcurrencyLimit
from moon_vision_challenge.observability import log_context
from moon_vision_challenge.webhooks import outbox

STATUS = Inference.STATUS

_AS_NEW = {
    "status": STATUS.PENDING,
    "attempts": 0,
    "error": None,
    "unavailable_since": None,
    "started_at": None,
    "finished_at": None,
}
"""What a retry resets. `claim_alone` stays, because the row may have killed its worker."""

_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.1
_waiting_requests = ConcurrencyLimit(lambda: settings.INFERENCE_MAX_WAITING_REQUESTS)


def classify_image(
    *, model_type: str, image: EncodedImage, version: VersionChoice = NEWEST, top_k: int = 0, reuse: Reuse = NO_REUSE
) -> Answer:
    """Return the label of an image, with the `top_k` most probable classes.

    Raises ClassificationError.
    """
    if reuse.is_on:
        return reuse_results.classify(model_type, image, version, top_k, reuse)
    classificator = dispatcher[model_type]
    with image.decoded(min_side=classificator.min_image_side) as rgb_image:
        [found] = prediction.classify(classificator, [rgb_image], version=version, top_k=top_k)
    return Answer(found.label, found.predictions)


class Idempotency(NamedTuple):
    """Identifies a POST that counts once, even if the client repeats it."""

    scope: str
    """The caller that the key belongs to. Equal keys of two callers are different keys."""
    key: str


def create_inference(
    *,
    owner_id: int,
    model_type: str,
    image: EncodedImage,
    version: VersionChoice = NEWEST,
    idempotency: Idempotency | None = None,
    webhook_url: str = "",
) -> tuple[Inference, bool]:
    """Store an image and its row, to be classified later.

    Returns:
        The row, and whether it is new. It is not new if the idempotency key was used before for the same request.

    Raises:
        InvalidImageError: the image cannot be decoded. Nothing is stored.
        IdempotencyConflictError: the key was used before for another request.
        QueueFullError: INFERENCE_MAX_PENDING rows are pending.
    """
    inference = Inference(
        model_type=model_type,
        queue=queue_of(model_type),
        version=version.number,
        version_label=version.label,
        webhook_url=webhook_url,
        owner_id=owner_id,
        request_id=log_context.current().request_id,
        traceparent=log_context.current().traceparent,
    )
    key = None
    if idempotency:
        fields = f"{model_type} {version.number} {version.label} {webhook_url} "
        payload_sha256 = hashlib.sha256(fields.encode() + image.data).hexdigest()
        key = IdempotencyKey(scope=idempotency.scope, key=idempotency.key, payload_sha256=payload_sha256)
        if earlier := _find_earlier(key):
            return earlier, False
    image.check()
    backlog.check_capacity()
    connection.ensure_connection()  # files must not pile up while PostgreSQL is unavailable
    # Outside the `try`: a file that could not be stored has no name yet, so there is nothing to delete.
    inference.image.save(*file_of(image), save=False)
    try:
        _insert(inference, key)
    except (OperationalError, InterfaceError):
        raise  # the connection may have been lost after the commit, and then the row exists and needs its file
    except Exception as error:
        inference.image.delete(save=False)  # a file must not stay without its row
        if idempotency is None or not isinstance(error.__cause__, UniqueViolation):
            raise
        # An identical concurrent request has created the row. It is found now, unless it has been deleted since.
        return create_inference(
            owner_id=owner_id,
            model_type=model_type,
            image=image,
            version=version,
            idempotency=idempotency,
            webhook_url=webhook_url,
        )
    return inference, True


def file_of(image: EncodedImage) -> tuple[str, ContentFile[bytes]]:
    """Return a name with the right suffix, and the content to store: without metadata if STRIP_IMAGE_METADATA is on.

    Raises InvalidImageError.
    """
    data = without_metadata(image) if settings.STRIP_IMAGE_METADATA else image.data
    return f"image.{image.suffix}", ContentFile(data)


def cancel_inference(*, inference_id: int, actor: Caller | str) -> Inference:
    """Cancel a row that no worker has claimed. Canceling it again changes nothing.

    Raises:
        Inference.DoesNotExist: the row does not exist.
        InferenceNotPendingError: a worker has claimed it, or it is done or failed.
    """
    with transaction.atomic():
        inference = Inference.objects.select_for_update().get(pk=inference_id)
        if is_pending := inference.status == STATUS.PENDING:
            inference.status, inference.finished_at = STATUS.CANCELED, Now()  # PostgreSQL's clock
            inference.save(update_fields=["status", "finished_at"])
            inference.refresh_from_db(fields=["finished_at"])
            events.announce_final([inference])
    if inference.status != STATUS.CANCELED:
        raise InferenceNotPendingError(f"inference {inference_id} is {inference.status}")
    if is_pending:
        audit.record("inference.cancel", actor=actor, inference_id=inference_id, owner_id=inference.owner_id)
    return inference


def retry_inference(*, inference_id: int, actor: Caller | str) -> Inference:
    """Make a failed inference pending again, with its full number of attempts.

    Raises:
        Inference.DoesNotExist: the row does not exist.
        InferenceNotFailedError: it has another status.
    """
    with transaction.atomic():
        inference = Inference.objects.select_for_update().get(pk=inference_id)
        if inference.status != STATUS.FAIL:
            raise InferenceNotFailedError(f"inference {inference_id} is {inference.status}")
        for name, value in _AS_NEW.items():
            setattr(inference, name, value)
        inference.queue, inference.available_at = queue_of(inference.model_type), Now()
        inference.save(update_fields=[*_AS_NEW, "queue", "available_at"])
    audit.record("inference.retry", actor=actor, inference_id=inference_id, owner_id=inference.owner_id)
    return inference


def delete_inference(*, inference_id: int, actor: Caller | str) -> None:
    """Delete a row with its image, idempotency key, and webhooks. If one of them cannot be deleted, none of them is.

    Raises:
        Inference.DoesNotExist: the row does not exist.
        InferenceInProgressError: a worker is processing it.
        StorageUnavailableError: the image cannot be deleted now.
    """
    with transaction.atomic():
        inference = Inference.objects.select_for_update().get(pk=inference_id)
        if inference.status == STATUS.PROCESSING:
            raise InferenceInProgressError(f"inference {inference_id} is {inference.status}")
        outbox.forget(inference_id, kind="inference")
        inference.delete()  # with its idempotency key
        if inference.image:
            inference.image.delete(save=False)  # last, because a rollback cannot restore it
    thumbnails.forget([inference_id])
    audit.record("inference.delete", actor=actor, inference_id=inference_id, owner_id=inference.owner_id)


def wait_until_final(*, inference_id: int, timeout_s: float) -> bool:
    """Wait until the row is final or deleted, or the timeout expires.

    Returns False at once if too many requests are waiting in this process.

    It polls the database, because reading a row by its key takes only 0.2 ms.
    """
    unfinished = Inference.objects.filter(pk=inference_id).exclude(status__in=FINAL_STATUSES)
    return wait_while(unfinished.exists, timeout_s=timeout_s)


def wait_while(is_unfinished: Callable[[], bool], *, timeout_s: float) -> bool:
    """Wait until `is_unfinished` returns False, or the timeout expires. Returns False when `wait_until_final` does."""
    with _waiting_requests.place() as may_wait:
        if not may_wait:
            return False
        begin = now = time.monotonic()
        while is_unfinished():
            pause_s = min(max(_SHORTEST_PAUSE_S, (now - begin) / 4), _LONGEST_PAUSE_S)
            if now + pause_s > begin + timeout_s:
                break
            time.sleep(pause_s)
            now = time.monotonic()
        return True


def _insert(inference: Inference, key: IdempotencyKey | None) -> None:
    if key is None:
        _insert_row(inference)
        return
    with transaction.atomic():
        _insert_row(inference)
        key.inference = inference
        key.save(force_insert=True)


def _insert_row(inference: Inference) -> None:
    inference.turn = turns.next_turn(  # computed by the INSERT
        turns.Lane.SINGLE, queue=inference.queue, model_type=inference.model_type, owner_id=inference.owner_id
    )
    inference.save(force_insert=True)
    del inference.turn  # read from the database if needed


def _find_earlier(key: IdempotencyKey) -> Inference | None:
    earlier = IdempotencyKey.objects.select_related("inference").filter(scope=key.scope, key=key.key).first()
    if earlier is None:
        return None
    if earlier.payload_sha256 != key.payload_sha256:
        raise IdempotencyConflictError(f"the key belongs to inference {earlier.inference_id}")
    return earlier.inference
