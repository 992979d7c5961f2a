"""All metrics that the processes count. Their names begin with `moon_vision_`, and a unit in them is a base unit.

Every label has a bounded number of values: a route, not a path, and a registered model type, not what a client sent.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from django.conf import settings
from prometheus_client import CollectorRegistry, Counter, Histogram

from moon_vision_challenge.observability import sample_files

logger = logging.getLogger(__name__)

if settings.METRICS_DIR:
    try:
        sample_files.use_folder(Path(settings.METRICS_DIR))
    except OSError as error:
        logger.warning("metrics are not exported, because METRICS_DIR cannot be used: %s", error)

registry = CollectorRegistry()

_LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WORK_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_SIZES_BYTES = (1e3, 1e4, 1e5, 1e6, 2.5e6, 5e6, 1e7, 2e7)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)

request_seconds = Histogram(
    "moon_vision_request_seconds",
    "Time from the first line of a request to its answer, in the application.",
    ["route", "method", "status"],
    registry=registry,
    buckets=_LATENCY_S,
)
upload_bytes = Histogram(
    "moon_vision_upload_bytes",
    "Size of the bodies of requests that have one.",
    ["route"],
    registry=registry,
    buckets=_SIZES_BYTES,
)
decode_seconds = Histogram(
    "moon_vision_decode_seconds",
    "Time to decode an image.",
    ["format"],
    registry=registry,
    buckets=_WORK_S,
)
prediction_seconds = Histogram(
    "moon_vision_prediction_seconds",
    "Time to preprocess a batch, ask its model, and decode the answer.",
    ["model_type", "result"],
    registry=registry,
    buckets=_LATENCY_S,
)
batch_size = Histogram(
    "moon_vision_batch_size",
    "Number of images in one prediction.",
    ["model_type"],
    registry=registry,
    buckets=_BATCH_SIZES,
)
model_server_seconds = Histogram(
    "moon_vision_model_server_seconds",
    "Time until the model server has answered a prediction. `result` is ok, or the code of the error.",
    ["model", "result"],
    registry=registry,
    buckets=_LATENCY_S,
)
inferences = Counter(
    "moon_vision_inferences_total",
    "Inferences that have reached a final status.",
    ["model_type", "status"],
    registry=registry,
)
attempts = Counter(
    "moon_vision_attempts_total",
    "Attempts of workers. `result` is the status of the row after the attempt.",
    ["model_type", "result"],
    registry=registry,
)
webhooks = Counter(
    "moon_vision_webhook_attempts_total",
    "Attempts to deliver a webhook. `result` is delivered, retry, or fail.",
    ["result"],
    registry=registry,
)
result_cache = Counter(
    "moon_vision_result_cache_total",
    "Requests for a result while the cache is on. `result` is hit, miss, joined, refused, or bypass.",
    ["model_type", "result"],
    registry=registry,
)


@cache
def child(metric: Histogram, *labels: str) -> Histogram:
    """Return metric.labels(*labels) from a cache, because computing it takes as long as observing a value.

    The labels have a bounded number of values.
    """
    return metric.labels(*labels)


@contextmanager
def timed(histogram: Histogram, label: str, result: str = "ok") -> Iterator[None]:
    """Observe how long the block takes. After an exception, the result is its `code`, or else `internal_error`."""
    begin = time.perf_counter()
    try:
        yield
    except Exception as error:
        result = getattr(error, "code", "internal_error")
        raise
    finally:
        child(histogram, label, result).observe(time.perf_counter() - begin)
