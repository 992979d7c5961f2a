"""Puts the ids of the current request and inference on every log line."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_inference_id: ContextVar[int | None] = ContextVar("inference_id", default=None)


@contextmanager
def request(request_id: str) -> Iterator[None]:
    """Log lines that are written inside the context carry this id."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


@contextmanager
def inference(inference_id: int) -> Iterator[None]:
    """Log lines that are written inside the context carry this id."""
    token = _inference_id.set(inference_id)
    try:
        yield
    finally:
        _inference_id.reset(token)


class ContextFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        # Django logs a failed request after the middleware, and passes it along.
        request_id = _request_id.get() or getattr(getattr(record, "request", None), "request_id", None)
        ids = {"request": request_id, "inference": _inference_id.get()}
        record.__dict__.update({f"{name}_id": value for name, value in ids.items()})
        record.__dict__["context"] = "".join(f" {name}={value}" for name, value in ids.items() if value)
        return True
