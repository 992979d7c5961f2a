"""Which worker may work on which rows, and until when: claims on Inference rows, each one SQL statement.

A worker claims waiting rows and gets a lease on them: a token that nobody else has, and a time. Only who holds the
token may end the attempt. When the time is over the sweep frees the rows, and the late answer of a slow worker changes
nothing. Rows are claimed with FOR UPDATE SKIP LOCKED: workers never wait for each other.
https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE
"""

import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from moon_vision_challenge.classification.abstract_classificator import Prediction
from moon_vision_challenge.classification.models import Inference

STATUS = Inference.STATUS

_CLAIM = """
WITH oldest AS (
    SELECT model_type FROM classification_inference
    WHERE status = 'pending' AND available_at <= statement_timestamp()
      AND (model_type = ANY(%(model_types)s)) = %(named)s
    ORDER BY available_at LIMIT 1 FOR UPDATE SKIP LOCKED
), batch AS (
    SELECT id FROM classification_inference
    WHERE status = 'pending' AND available_at <= statement_timestamp()
      AND model_type = (SELECT model_type FROM oldest)
    ORDER BY available_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE classification_inference AS inference
SET status = 'processing', attempts = attempts + 1, started_at = statement_timestamp(),
    lease_token = %(token)s, lease_expires_at = statement_timestamp() + %(lease)s
FROM batch WHERE inference.id = batch.id
RETURNING inference.*
"""

_END_ATTEMPTS = """
UPDATE classification_inference AS inference
SET status = outcome.status, label = outcome.label, error = outcome.error::jsonb,
    predictions = outcome.predictions::jsonb, model_version = outcome.model_version,
    available_at = statement_timestamp() + make_interval(secs => outcome.retry_in_s),
    finished_at = CASE WHEN outcome.status = 'pending' THEN NULL ELSE statement_timestamp() END,
    lease_token = NULL, lease_expires_at = NULL
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::float8[], %s::text[],
            %s::bigint[])
     AS outcome(id, status, label, error, retry_in_s, predictions, model_version)
WHERE inference.id = outcome.id AND inference.lease_token = %s
RETURNING inference.id
"""


@dataclass
class Outcome:
    """How an attempt ended: done with a label; failed with an error; or put back, to be tried again later."""

    inference: Inference
    status: Inference.STATUS
    label: str = ""
    error: dict[str, str] | None = None
    retry_in_s: float = 0.0
    predictions: Sequence[Prediction] = ()
    model_version: int | None = None


def claim_waiting(
    *, model_types: Collection[str], except_these: bool = False, limit: int, lease: timedelta
) -> list[Inference]:
    """Claim up to `limit` waiting rows of one model type: that of the row which has waited longest.

    Args:
        model_types: look only at rows of these types; with except_these, only at rows of other types.
    """
    token = uuid.uuid4()
    parameters = {
        "model_types": list(model_types),
        "named": not except_these,
        "limit": limit,
        "token": token,
        "lease": lease,
    }
    return list(Inference.objects.raw(_CLAIM, parameters))


def end_attempts(outcomes: Sequence[Outcome]) -> set[int]:
    """Write how attempts of one claim ended. Returns the ids written: rows whose lease was lost are left alone."""
    if not outcomes:
        return set()
    columns: list[list[Any]] = [
        [outcome.inference.pk for outcome in outcomes],
        [outcome.status.value for outcome in outcomes],
        [outcome.label for outcome in outcomes],
        [json.dumps(outcome.error) if outcome.error else None for outcome in outcomes],
        [outcome.retry_in_s for outcome in outcomes],
        [json.dumps([one._asdict() for one in outcome.predictions]) for outcome in outcomes],
        [outcome.model_version for outcome in outcomes],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_END_ATTEMPTS, [*columns, outcomes[0].inference.lease_token])
        return {row[0] for row in cursor.fetchall()}


_FAIL_EXPIRED = """
UPDATE classification_inference
SET status = 'fail', error = %(error)s::jsonb, finished_at = statement_timestamp(),
    lease_token = NULL, lease_expires_at = NULL
WHERE status = 'processing' AND lease_expires_at < statement_timestamp() AND attempts >= %(max_attempts)s
RETURNING *
"""


def free_expired(*, max_attempts: int, error: dict[str, str]) -> tuple[int, list[Inference]]:
    """Free rows whose lease is over; those that had their last attempt fail with `error`.

    Returns:
        How many are free to be claimed again; and the rows that failed.
    """
    parameters = {"error": json.dumps(error), "max_attempts": max_attempts}
    failed = list(Inference.objects.raw(_FAIL_EXPIRED, parameters))
    expired = Inference.objects.filter(status=STATUS.PROCESSING, lease_expires_at__lt=Now())
    freed = expired.update(status=STATUS.PENDING, available_at=Now(), lease_token=None, lease_expires_at=None)
    return freed, failed
