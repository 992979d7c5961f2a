"""Puts the id of the current inference on every log line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_inference_id: ContextVar[int | None] = ContextVar("inference_id", default=None)


@contextmanager
def inference(inference_id: int) -> Iterator[None]:
    """Log lines that are written inside the context carry this id."""
    token = _inference_id.set(inference_id)
    try:
        yield
    finally:
        _inference_id.reset(token)


class InferenceIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.inference_id = _inference_id.get() or "-"
        return True
