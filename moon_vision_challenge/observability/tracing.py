"""Traces: the spans of a request, an inference, and a webhook. Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set.

The position in a trace is a string, the header `traceparent`, because it passes through rows and headers. It does so
even while traces are off, so that a client's own trace leads through this service.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from moon_vision_challenge.observability import log_context
from moon_vision_challenge.observability.span import Attribute, Kind, Span

IS_ON = bool(settings.OTEL_EXPORTER_OTLP_ENDPOINT)

if IS_ON:
    try:
        from moon_vision_challenge.observability import otel
    except ModuleNotFoundError as error:
        raise ImproperlyConfigured(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but the module {error.name} is not installed. "
            "Install requirements/tracing.txt, or unset the variable."
        ) from error

_NOT_RECORDED = nullcontext(Span())


def span(name: str, kind: Kind, **attributes: Attribute) -> AbstractContextManager[Span]:
    """Begin a span in the current trace, or in a new one."""
    return _one_span(name, kind, attributes) if IS_ON else _NOT_RECORDED


@contextmanager
def spans(name: str, kind: Kind, parents: Sequence[str], **attributes: Attribute) -> Iterator[list[Span]]:
    """Begin a span in each of several traces, for work that is done for all of them together. The first is current.

    An exception marks all of them as errors.

    Args:
        parents: positions in traces. An empty one begins a new trace.
    """
    begun = [otel.RecordedSpan(name, kind, each, attributes) if IS_ON else Span(each) for each in parents]
    with log_context.about(traceparent=begun[0].traceparent if begun else ""):
        try:
            yield begun
        except Exception as error:
            for each in begun:
                each.fail(str(getattr(error, "code", "internal_error")))
            raise
        finally:
            for each in begun:
                each.end()


def add_past(name: str, parent: str, *, begin_s: float, end_s: float) -> None:
    """Record a span that has ended. The times are in seconds since 1970."""
    if IS_ON:
        otel.RecordedSpan(name, Kind.INTERNAL, parent, {}, begin_s=begin_s).end(at_s=end_s)


def flush() -> None:
    """Send the recorded spans. Call it at the end of a process that runs no exit handlers."""
    if IS_ON:
        otel.flush()


@contextmanager
def _one_span(name: str, kind: Kind, attributes: dict[str, Attribute]) -> Iterator[Span]:
    with spans(name, kind, [log_context.current().traceparent], **attributes) as (begun,):
        yield begun
