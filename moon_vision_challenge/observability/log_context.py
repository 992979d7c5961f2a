"""What the current log lines are about: a request, an inference, a trace."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from moon_vision_challenge.observability.traceparent import trace_id_of


class Subject(NamedTuple):
    """The ids that a log line carries."""

    request_id: str = ""
    inference_id: int | None = None
    traceparent: str = ""
    """The current span, as the header `traceparent`. Empty without a trace."""


_NOTHING = Subject()
_current: ContextVar[Subject] = ContextVar("subject", default=_NOTHING)


def current() -> Subject:
    return _current.get()


@contextmanager
def about(**ids: Any) -> Iterator[None]:
    """Add these ids of a Subject to the log lines written inside the block. Its other ids stay the same."""
    token = _current.set(_current.get()._replace(**ids))
    try:
        yield
    finally:
        _current.reset(token)


class ContextFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        subject = _current.get()
        # Django logs a failed request after the middleware has ended, and adds the request to the record.
        request_id = subject.request_id or getattr(getattr(record, "request", None), "request_id", None)
        ids = {
            "request": request_id or None,
            "inference": subject.inference_id,
            "trace": trace_id_of(subject.traceparent) or None,
        }
        record.__dict__.update({f"{name}_id": value for name, value in ids.items()})
        record.__dict__["context"] = "".join(f" {name}={value}" for name, value in ids.items() if value)
        return True
