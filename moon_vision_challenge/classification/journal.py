"""Logs the life of an inference: accepted, claimed, asked, ended. The webhooks app logs its webhooks.

An event of a batch is one line, which lists the ids of its rows. Lines never contain image data, tokens, or the text of
an exception. A failure is logged with its code.
"""

import logging
import os
import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager

from moon_vision_challenge.accounts.caller import Caller
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.observability import log_context
from moon_vision_challenge.observability.traceparent import trace_id_of

logger = logging.getLogger("moon_vision_challenge.inferences")

_LABEL_CHARS = 200


def accepted(inference: Inference, caller: Caller, *, size: int) -> None:
    """Log that a client has created the row. `size` is the size of its image, in bytes."""
    by = {"owner_id": caller.owner_id, "token": caller.token_name}
    fields = {"event": "accepted", "model_type": inference.model_type, "bytes": size, **by}
    with log_context.about(inference_id=inference.pk):
        logger.info("accepted: %s, %d bytes, by %s", inference.model_type, size, caller.token_name, extra=fields)


def claimed(inferences: Sequence[Inference]) -> None:
    """Log that this process has claimed the rows, which form a batch."""
    attempts = [each.attempts for each in inferences]
    worker = f"{socket.gethostname()}:{os.getpid()}"
    fields = {"event": "claimed", "worker": worker, "attempts": attempts, **_of_batch(inferences)}
    text = "claimed by %s for attempt %s: %d of %s%s"
    numbers = ", ".join(map(str, sorted(set(attempts))))
    args = (worker, numbers, len(inferences), inferences[0].model_type, _listed(inferences))
    with about(inferences):
        logger.info(text, *args, extra=fields)


def asked(inferences: Sequence[Inference], *, version: int | None, seconds: float, result: str) -> None:
    """Log a request to the model for the rows. `result` is ok, or the code of the error."""
    ms = round(1000 * seconds, 1)
    fields = {"event": "asked", "model_version": version, "ms": ms, "result": result, **_of_batch(inferences)}
    text = "asked %s, version %s, about %d: %s after %.1f ms%s"
    args = (inferences[0].model_type, version or "unknown", len(inferences), result, ms, _listed(inferences))
    with about(inferences):
        logger.info(text, *args, extra=fields)


def ended(inference: Inference) -> None:
    """Log that the row has a final status."""
    wait_s, run_s = _durations(inference)
    fields = {
        "event": "ended",
        "model_type": inference.model_type,
        "status": str(inference.status),
        "label": inference.label[:_LABEL_CHARS] or None,
        "error_code": inference.error["code"] if inference.error else None,
        "attempts": inference.attempts,
        "wait_s": wait_s,
        "run_s": run_s,
    }
    what = fields["label"] or fields["error_code"] or inference.model_type
    with about([inference]):
        logger.info("%s: %s, waited %s s, ran %s s", inference.status, what, wait_s, run_s, extra=fields)


def about(inferences: Sequence[Inference]) -> AbstractContextManager[None]:
    """Add the ids of a single row to log lines within the context. Lines about several rows list the ids instead."""
    if len(inferences) > 1:
        return log_context.about(request_id="", inference_id=None, traceparent="")
    (one,) = inferences
    return log_context.about(request_id=one.request_id, inference_id=one.pk, traceparent=one.traceparent)


def _of_batch(inferences: Sequence[Inference]) -> dict[str, object]:
    fields: dict[str, object] = {"model_type": inferences[0].model_type, "batch": str(inferences[0].lease_token)}
    if len(inferences) > 1:
        fields["inference_ids"] = [each.pk for each in inferences]
        fields["request_ids"] = [each.request_id for each in inferences]
        fields["trace_ids"] = [trace_id_of(each.traceparent) for each in inferences if each.traceparent] or None
    return fields


def _listed(inferences: Sequence[Inference]) -> str:
    """Return searchable text, such as inference=17 for each row of a batch."""
    return "".join(f" inference={each.pk}" for each in inferences) if len(inferences) > 1 else ""


def _durations(inference: Inference) -> tuple[float, float]:
    """Return the seconds from the creation of the row to its last attempt, and the duration of that attempt."""
    assert inference.finished_at is not None  # noqa: S101  # for mypy: the row is final
    started_at = inference.started_at or inference.finished_at
    wait_s = (started_at - inference.created_at).total_seconds()
    run_s = (inference.finished_at - started_at).total_seconds()
    return round(max(0.0, wait_s), 3), round(max(0.0, run_s), 3)
