"""A span: a part of a trace, with a start and an end."""

from enum import Enum

Attribute = str | int | float | bool


class Kind(Enum):
    """The role of a span, in OpenTelemetry's terms."""

    SERVER = "SERVER"
    CONSUMER = "CONSUMER"
    CLIENT = "CLIENT"
    INTERNAL = "INTERNAL"


class Span:
    """A span that is not recorded."""

    def __init__(self, traceparent: str = "") -> None:
        self.traceparent = traceparent
        """The position in the trace, for what happens inside the span."""

    def rename(self, name: str) -> None: ...

    def note(self, **attributes: Attribute) -> None:
        """Add attributes. In their names, two underscores stand for a period."""

    def fail(self, reason: str) -> None:
        """Mark the span as an error."""

    def end(self) -> None: ...
