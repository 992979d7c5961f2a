"""The header `traceparent`, which carries a trace from one service to the next: https://www.w3.org/TR/trace-context/"""

import re

_HEADER = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?",
    re.ASCII,
)
_SAMPLED = 1
MAX_CHARS = 55


def parse(header: str) -> str:
    """Return the header in the form of version 00, or "" if it is not valid. A later version may have more fields."""
    found = _HEADER.fullmatch(header) if len(header) <= 4 * MAX_CHARS else None
    if not found or (header.startswith("00") and found["rest"]):
        return ""
    return make(found["trace"], found["span"], is_sampled=bool(int(found["flags"], 16) & _SAMPLED))


def make(trace_id: str, span_id: str, *, is_sampled: bool) -> str:
    return f"00-{trace_id}-{span_id}-{int(is_sampled):02x}"


def trace_id_of(traceparent: str) -> str:
    """Return the trace id of a header that `parse` or `make` has returned."""
    return traceparent[3:35]
