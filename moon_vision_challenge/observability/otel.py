"""Records spans with OpenTelemetry, and sends them over OTLP. Imported only while traces are on.

The SDK reads its other variables itself, such as OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import atexit
import threading
from collections.abc import Mapping
from functools import cache

from django.conf import settings
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from moon_vision_challenge import __version__
from moon_vision_challenge.observability import traceparent as header
from moon_vision_challenge.observability.span import Attribute, Kind, Span

_FLUSH_TIMEOUT_S = 2.0
"""How long an exiting process waits for the collector."""


class RecordedSpan(Span):
    def __init__(
        self,
        name: str,
        kind: Kind,
        parent: str,
        attributes: Mapping[str, Attribute],
        *,
        begin_s: float | None = None,
    ) -> None:
        context = trace.set_span_in_context(NonRecordingSpan(_span_context(parent))) if parent else None
        self._span = _tracer().start_span(name, context, SpanKind[kind.value], start_time=_nanoseconds(begin_s))
        own = self._span.get_span_context()
        trace_id, span_id = trace.format_trace_id(own.trace_id), trace.format_span_id(own.span_id)
        super().__init__(header.make(trace_id, span_id, is_sampled=own.trace_flags.sampled))
        self.note(**attributes)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, **attributes: Attribute) -> None:
        for name, value in attributes.items():
            self._span.set_attribute(name.replace("__", "."), value)

    def fail(self, reason: str) -> None:
        self._span.set_status(StatusCode.ERROR, reason)
        self._span.set_attribute("error.type", reason)

    def end(self, *, at_s: float | None = None) -> None:
        self._span.end(_nanoseconds(at_s))


def flush() -> None:
    """Send the recorded spans, and stop recording."""
    if not _provider.cache_info().currsize:
        return
    # In a thread, because the exporter keeps trying for up to a minute.
    sending = threading.Thread(target=_provider().shutdown, name="flush-traces", daemon=True)
    sending.start()
    sending.join(_FLUSH_TIMEOUT_S)


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * 1e9)


def _span_context(parent: str) -> SpanContext:
    _, trace_id, span_id, flags = parent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


@cache
def _provider() -> TracerProvider:
    """Create the provider at the first span. In a process forked later, OpenTelemetry starts its thread again."""
    resource = Resource.create({"service.name": settings.OTEL_SERVICE_NAME, "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # it would wait for half a minute
    exporter = OTLPSpanExporter(endpoint=f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    atexit.register(flush)
    return provider


@cache
def _tracer() -> trace.Tracer:
    return _provider().get_tracer("moon_vision_challenge")
