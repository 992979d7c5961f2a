"""The state of the queue, for Prometheus and for operators. All scrapers share one query."""

import logging
import math
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from moon_vision_challenge.classification.queue.waiting_kinds import WITH_KIND

logger = logging.getLogger(__name__)

COUNTED = 100_000
"""The number up to which a model's pending rows are counted. Counting ten million takes longer than a statement may."""

# An owner's oldest row has the owner's first turn, so the oldest row of all is among the rows that are counted, unless
# COUNTED owners wait.
_QUEUE_STATE = f"""
{WITH_KIND}, pending AS (
    SELECT queue, model_type, count, oldest FROM kind, LATERAL (
        SELECT count(*) AS count, min(created_at) AS oldest FROM (
            SELECT created_at FROM classification_inference
            WHERE status = 'pending' AND queue = kind.queue AND model_type = kind.model_type
            ORDER BY turn, available_at LIMIT %(counted)s
        ) AS first
    ) AS counted
), processing AS (
    SELECT queue, model_type, count(*) AS count,
           count(*) FILTER (WHERE lease_expires_at < statement_timestamp()) AS expired
    FROM classification_inference WHERE status = 'processing' GROUP BY queue, model_type
)
SELECT queue, model_type, coalesce(pending.count, 0), coalesce(processing.count, 0), coalesce(processing.expired, 0),
       extract(epoch FROM statement_timestamp() - pending.oldest)
FROM pending FULL JOIN processing USING (queue, model_type)
"""  # noqa: S608 - a constant

# How long ago the oldest row should have been deleted. The query reads one index entry.
_RETENTION_OVERDUE = """
SELECT greatest(0, extract(epoch FROM statement_timestamp() - %(age)s - min(finished_at))) FROM classification_inference
"""
RETENTION_OVERDUE = "moon_vision_retention_overdue_seconds"

GAUGES = (
    ("moon_vision_queue_pending", f"Inferences that wait for a worker, counted up to {COUNTED:,} for each model."),
    ("moon_vision_queue_processing", "Inferences that a worker has claimed."),
    ("moon_vision_queue_expired_leases", "Claimed inferences whose worker is lost. The sweep returns them."),
    ("moon_vision_queue_oldest_seconds", "Age of the inference that has waited longest."),
)


class QueueState(NamedTuple):
    """The unfinished inferences of one queue and model type."""

    queue: str
    model_type: str
    pending: int
    """At most COUNTED."""
    processing: int
    expired_leases: int
    """The number of `processing` inferences whose worker is lost."""
    oldest_s: float
    """How long the oldest pending inference has waited. 0 if none is pending."""


def read_queue_states() -> list[QueueState]:
    """Return what is pending or processing now, by queue and model type."""
    with connection.cursor() as cursor:
        cursor.execute(_QUEUE_STATE, {"counted": COUNTED})
        return [QueueState._make([*row[:5], float(row[5] or 0)]) for row in cursor.fetchall()]


def read_retention_overdue_s() -> float:
    """Return how long the oldest inference that should be deleted is overdue. 0 if none is."""
    parameters: dict[str, Any] = {"age": timedelta(days=settings.INFERENCE_RETENTION_DAYS)}
    with connection.cursor() as cursor:
        cursor.execute(_RETENTION_OVERDUE, parameters)
        (overdue_s,) = cursor.fetchone()
        return float(overdue_s or 0)


class QueueGauges:
    """Returns the metrics when called. Queries the database at most once per METRICS_CACHE_S."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = -math.inf
        self._metrics: list[Metric] = []

    def __call__(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() - self._read_at > settings.METRICS_CACHE_S:
                self._metrics = _read()
                self._read_at = time.monotonic()
            return self._metrics


def _read() -> list[Metric]:
    """Without PostgreSQL, return only the gauge that says so: a queue of unknown length is not an empty queue."""
    up = GaugeMetricFamily("moon_vision_database_up", "Whether PostgreSQL answers: 1 or 0.")
    try:
        states, overdue_s = read_queue_states(), read_retention_overdue_s()
    except DatabaseError as error:
        logger.warning("the queue's metrics are missing: the database is not available: %s", error)
        connection.close()
        up.add_metric([], 0)
        return [up]
    up.add_metric([], 1)
    overdue = GaugeMetricFamily(RETENTION_OVERDUE, "How long the oldest inference should have been deleted.")
    overdue.add_metric([], overdue_s)
    return [up, overdue, *_gauges(states)]


def _gauges(states: Sequence[QueueState]) -> list[GaugeMetricFamily]:
    gauges = [GaugeMetricFamily(name, help_text, labels=["queue", "model_type"]) for name, help_text in GAUGES]
    for queue, model_type, *numbers in states:
        for gauge, number in zip(gauges, numbers, strict=True):
            gauge.add_metric([queue, model_type], float(number))
    return gauges
