"""Decides which worker may work on which Inference rows, and until when. Each claim is one SQL statement.

A worker claims waiting rows and gets a lease on them: a unique token and an expiry time. Only the holder of the token
may end the attempt. When the lease expires, the sweep frees the rows, and the late answer of a slow worker changes
nothing. Rows are claimed with FOR UPDATE SKIP LOCKED: workers never wait for each other.
https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection

from moon_vision_challenge.classification.abstract_classificator import Prediction
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue.turns import LANE_SIZE, Lane

_IS_CLAIMABLE = """
    status = 'pending' AND queue = %(queue)s AND available_at <= statement_timestamp()
    AND NOT EXISTS (
        SELECT FROM classification_outage AS outage
        WHERE outage.model_type IN ('', waiting.model_type) AND outage.until > statement_timestamp()
    )
"""

# `probe`: if a model was unavailable, one worker claims one row to find out whether it is back. A second worker waits
# for the first one's update of the outage, finds it changed, and claims nothing. The ids are an array, because the
# planner estimates `batch` at a tenth of the backlog, and would join it with the whole table. Single rows do not wait
# for rows of jobs to fill up their batch.
_CLAIM = f"""
WITH next AS (
    SELECT model_type, claim_alone, turn < %(bulk)s AS is_single FROM classification_inference AS waiting
    WHERE {_IS_CLAIMABLE} AND turn < %(end)s
    ORDER BY turn, available_at LIMIT 1 FOR UPDATE OF waiting SKIP LOCKED
), outage AS (
    SELECT id FROM classification_outage WHERE model_type = '' OR model_type IN (SELECT model_type FROM next)
), probe AS (
    UPDATE classification_outage SET until = statement_timestamp() + %(lease)s
    WHERE id IN (SELECT id FROM outage) AND EXISTS (SELECT FROM next) AND until <= statement_timestamp()
    RETURNING id
), batch AS (
    SELECT id FROM classification_inference
    WHERE status = 'pending' AND queue = %(queue)s AND available_at <= statement_timestamp()
      AND model_type = (SELECT model_type FROM next) AND claim_alone = (SELECT claim_alone FROM next)
      AND turn < CASE WHEN (SELECT is_single FROM next) THEN %(bulk)s ELSE 9223372036854775807 END
      AND (SELECT count(*) FROM probe) = (SELECT count(*) FROM outage)
    ORDER BY turn, available_at
    LIMIT CASE WHEN (SELECT claim_alone FROM next) OR EXISTS (SELECT FROM outage) THEN 1
               WHEN (SELECT is_single FROM next) THEN %(limit)s ELSE %(bulk_limit)s END
    FOR UPDATE SKIP LOCKED
)
UPDATE classification_inference AS inference
SET status = 'processing', attempts = attempts + 1, started_at = statement_timestamp(),
    lease_token = %(token)s, lease_expires_at = statement_timestamp() + %(lease)s
WHERE id = ANY (ARRAY(SELECT id FROM batch))
RETURNING inference.*
"""  # noqa: S608  # only a constant is inserted

_FIND_WAITING = f"""
SELECT id FROM classification_inference AS waiting WHERE {_IS_CLAIMABLE} ORDER BY turn, available_at LIMIT 1
"""  # noqa: S608  # a constant

_END_ATTEMPTS = """
WITH recovered AS (
    DELETE FROM classification_outage WHERE model_type IN ('', %(model_type)s) AND NOT %(is_outage)s
)
UPDATE classification_inference AS inference
SET status = outcome.status, label = outcome.label, error = outcome.error::jsonb,
    predictions = outcome.predictions::jsonb, model_version = outcome.model_version,
    available_at = statement_timestamp() + make_interval(secs => outcome.retry_in_s),
    finished_at = CASE WHEN outcome.status = 'pending' THEN NULL ELSE statement_timestamp() END,
    attempts = inference.attempts - (NOT outcome.is_charged)::int,
    unavailable_since = CASE WHEN outcome.is_outage THEN coalesce(unavailable_since, statement_timestamp()) END,
    claim_alone = outcome.claim_alone, lease_token = NULL, lease_expires_at = NULL
FROM unnest(%(id)s::bigint[], %(status)s::text[], %(label)s::text[], %(error)s::text[], %(retry_in_s)s::float8[],
            %(predictions)s::text[], %(model_version)s::bigint[], %(charged)s::boolean[], %(outage)s::boolean[],
            %(alone)s::boolean[])
     AS outcome(id, status, label, error, retry_in_s, predictions, model_version, is_charged, is_outage, claim_alone)
WHERE inference.id = outcome.id AND inference.lease_token = %(token)s
RETURNING inference.id, inference.finished_at
"""

# A batch that was lost with its worker does not show which row was the cause. Its rows will be claimed alone, and
# the attempt is not charged. A row that was lost alone is charged.
_FREE_EXPIRED = """
WITH expired AS (
    SELECT id, lease_token FROM classification_inference
    WHERE status = 'processing' AND lease_expires_at < statement_timestamp() FOR UPDATE SKIP LOCKED
), lost AS (
    SELECT id, count(*) OVER (PARTITION BY lease_token) = 1 AS was_alone FROM expired
)
UPDATE classification_inference AS inference
SET status = CASE WHEN was_alone AND attempts >= %(max_attempts)s THEN 'fail' ELSE 'pending' END,
    error = CASE WHEN was_alone AND attempts >= %(max_attempts)s THEN %(error)s::jsonb ELSE error END,
    finished_at = CASE WHEN was_alone AND attempts >= %(max_attempts)s THEN statement_timestamp() END,
    attempts = attempts - (NOT was_alone)::int, claim_alone = TRUE, available_at = statement_timestamp(),
    lease_token = NULL, lease_expires_at = NULL
FROM lost WHERE inference.id = lost.id
RETURNING inference.*
"""


@dataclass
class AttemptOutcome:
    """The outcome of an attempt: done with a label, failed with an error, or requeued for a later retry."""

    inference: Inference
    status: Inference.STATUS
    label: str = ""
    error: dict[str, str] | None = None
    retry_in_s: float = 0.0
    predictions: Sequence[Prediction] = ()
    model_version: int | None = None
    is_charged: bool = True
    """Whether the attempt counts against INFERENCE_MAX_ATTEMPTS."""
    is_outage: bool = False
    """Whether the cause was a service that does not answer."""
    claim_alone: bool = False
    """Whether to claim this row alone next time, because one row failed its whole batch."""


def claim_waiting(*, queue: str, limit: int, lease: timedelta, bulk_limit: int | None = None) -> list[Inference]:
    """Claim waiting rows of the lane and the model type of the row whose turn it is in this queue.

    Args:
        limit: the maximum number of single rows.
        bulk_limit: the maximum number of rows of jobs, `limit` by default. With 0, they are skipped.
    """
    parameters = {
        "queue": queue,
        "limit": limit,
        "bulk_limit": limit if bulk_limit is None else bulk_limit,
        "bulk": Lane.BULK.value,
        "end": Lane.BULK.value + (LANE_SIZE if bulk_limit != 0 else 0),
        "token": uuid.uuid4(),
        "lease": lease,
    }
    rows = Inference.objects.raw(_CLAIM, parameters)
    return sorted(rows, key=lambda row: (row.turn, row.available_at, row.pk))  # RETURNING guarantees no order


def find_waiting(*, queue: str) -> int | None:
    """Return the id of a row of this queue that could be claimed now."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND_WAITING, {"queue": queue})
        row = cursor.fetchone()
        return int(row[0]) if row else None


def end_attempts(outcomes: Sequence[AttemptOutcome]) -> set[int]:
    """Write the outcomes of one claim's attempts, and give each `inference` the time at which it became final.

    Returns the ids of the rows written. Rows whose lease was lost stay as they are.
    """
    if not outcomes:
        return set()
    parameters: dict[str, Any] = {
        "id": [outcome.inference.pk for outcome in outcomes],
        "status": [outcome.status.value for outcome in outcomes],
        "label": [outcome.label for outcome in outcomes],
        "error": [json.dumps(outcome.error) if outcome.error else None for outcome in outcomes],
        "retry_in_s": [outcome.retry_in_s for outcome in outcomes],
        "predictions": [json.dumps([one._asdict() for one in outcome.predictions]) for outcome in outcomes],
        "model_version": [outcome.model_version for outcome in outcomes],
        "charged": [outcome.is_charged for outcome in outcomes],
        "outage": [outcome.is_outage for outcome in outcomes],
        "alone": [outcome.claim_alone for outcome in outcomes],
        "is_outage": any(outcome.is_outage for outcome in outcomes),
        "model_type": outcomes[0].inference.model_type,
        "token": outcomes[0].inference.lease_token,
    }
    with connection.cursor() as cursor:
        cursor.execute(_END_ATTEMPTS, parameters)
        finished_at = dict(cursor.fetchall())
    for outcome in outcomes:
        outcome.inference.finished_at = finished_at.get(outcome.inference.pk)
    return set(finished_at)


def free_expired(*, max_attempts: int, error: dict[str, str]) -> tuple[list[Inference], list[Inference]]:
    """Free rows whose lease has expired. Rows that were alone in their last attempt fail with `error`.

    Returns:
        The rows that can be claimed again, and the rows that failed.
    """
    parameters = {"error": json.dumps(error), "max_attempts": max_attempts}
    rows = list(Inference.objects.raw(_FREE_EXPIRED, parameters))
    failed = [row for row in rows if row.status == Inference.STATUS.FAIL]
    return [row for row in rows if row.status != Inference.STATUS.FAIL], failed
