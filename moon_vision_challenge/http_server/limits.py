"""Limits what clients may use of the server."""

from collections.abc import Mapping
from dataclasses import dataclass, field

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of one process. Times are in seconds."""

    max_body_bytes: int = 32 * MIB
    max_body_memory_bytes: int = 128 * MIB
    """The total size of all bodies that are being read, wait for a thread, or are being answered."""
    spooled: Mapping[bytes, int] = field(default_factory=dict)
    """Path → the largest body of a POST to it. Such a body is written to a file in `spool_folder` as it arrives."""
    spool_folder: str = "/tmp"  # noqa: S108 - the file's name cannot be guessed
    max_spools: int = 4
    spooled_timeout_s: float = 900
    """Replaces `body_timeout_s` for a spooled body."""
    max_head_bytes: int = 32 * KIB
    max_headers: int = 100
    max_connections: int = 2000
    head_timeout_s: float = 10
    """The time for the request line and the headers, and for the first byte of a new connection."""
    idle_timeout_s: float = 75
    """The time between two requests on one connection."""
    body_timeout_s: float = 180
    min_body_bytes_per_s: int = 4 * KIB
    """The minimum average speed, measured over each `rate_window_s`."""
    rate_window_s: float = 10
    write_timeout_s: float = 30
    """The time for the client to read the next 64 KiB of an answer."""
    max_drained_bytes: int = 64 * MIB
    """After a refusal, the server reads and drops what the client still sends, so that the client reads the refusal."""
    drain_timeout_s: float = 15
    max_wait_s: float = 1
    """The longest expected wait of a request for a thread. Above it, the answer is 503."""
    stop_timeout_s: float = 25
    """The time for open requests to finish when the process must stop."""

    @property
    def sweep_interval_s(self) -> float:
        """The interval at which deadlines are checked: a quarter of the shortest, but at most one second."""
        times = (self.head_timeout_s, self.idle_timeout_s, self.body_timeout_s, self.rate_window_s)
        return min(1.0, *(time_s / 4 for time_s in (*times, self.write_timeout_s, self.drain_timeout_s)))
