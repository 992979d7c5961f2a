"""What a server serves, and how."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .limits import Limits
from .request import Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@dataclass(frozen=True, kw_only=True)
class Service:
    """What is served, and how."""

    application: "WSGIApplication"
    limits: Limits = field(default_factory=Limits)
    threads: int = 4
    spare_threads: int = 0
    """The number of additional threads while all running ones wait and requests are left."""
    waiting_threads: Callable[[], int] = lambda: 0
    """Returns the number of threads that have waited long for something outside the process."""
    leave_thread: Callable[[], None] = lambda: None
    """Called in a thread that is no longer needed, before it ends."""
    immediate: Mapping[bytes, "WSGIApplication"] = field(default_factory=dict)
    """Path → an application that answers GET and HEAD immediately, in the event loop, even if all threads are busy."""
    reserved: frozenset[bytes] = frozenset()
    """Paths that share a dedicated thread."""
    refusal_headers: Callable[[Request], bytes] = lambda _: b""
    """Returns more headers, as whole lines, for an answer from the server itself. The request may be incomplete."""
    finish: Callable[[], None] = lambda: None
    """Called when a process has answered its last request. The process runs no exit handlers."""
    too_large: str = "The request's body is too large. At most {limit:,} bytes are accepted."
