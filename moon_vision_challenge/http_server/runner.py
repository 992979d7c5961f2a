"""Runs the requests of one process: in its threads, or immediately in the event loop."""

import asyncio
import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

from .exchange import Exchange, Part
from .request import RefusedError, Request, disk_full, overloaded
from .service import Service
from .spool import Spool
from .threads import Threads

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

LARGE_BODY_BYTES = 1024 * 1024
WATCH_INTERVAL_S = 0.1


class Runner:
    """A runner that all connections of a process share."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop, *, is_multiprocess: bool) -> None:
        self.limits = service.limits
        self.refusal_headers = service.refusal_headers
        self.is_multiprocess = is_multiprocess
        self.is_stopping = False
        self.body_bytes = 0
        self.date = b""
        self.now = loop.time
        self._loop = loop
        self._service = service
        self._threads = Threads(
            service.threads,
            "request",
            spare=service.spare_threads,
            waiting=service.waiting_threads,
            leave=service.leave_thread,
        )
        self._is_watching = False
        self._reserved = Threads(1, "reserved")
        self._writer = Threads(1, "writer")
        self._spools: set[Spool] = set()

    def exchange(self, request: Request, base: "WSGIEnvironment") -> tuple[Exchange, bool]:
        """Return an exchange, and whether it must start in the event loop, without a thread."""
        immediate = self._immediate_application(request)
        return Exchange(immediate or self._service.application, request, base, self), immediate is not None

    def _immediate_application(self, request: Request) -> "WSGIApplication | None":
        return self._service.immediate.get(request.target) if request.method in (b"GET", b"HEAD") else None

    def refusal(self, request: Request) -> RefusedError | None:
        """Return a refusal if the expected wait is too long. A body on disk took longer to arrive, so it waits."""
        is_late = self._threads_for(request).expected_wait_s > self.limits.max_wait_s
        if not is_late or request.spool:
            return None
        refused = overloaded("Too many requests are waiting.", retry_after_s=1)
        refused.more_headers = self.refusal_headers(request)
        return refused

    def call_later(self, seconds: float, deliver: Callable[[Part], None], part: Part) -> None:
        self._loop.call_later(seconds, deliver, part)

    def submit(self, step: Callable[[], Part], deliver: Callable[[Part], None], request: Request) -> None:
        """Run `step` in a thread, and call `deliver` with its result in the loop."""
        call_soon_threadsafe = self._loop.call_soon_threadsafe

        def job() -> None:
            call_soon_threadsafe(deliver, step())

        self._threads_for(request).submit(job)
        if not self._is_watching:
            self._is_watching = True
            self._loop.call_later(WATCH_INTERVAL_S, self._watch)

    def _threads_for(self, request: Request) -> Threads:
        return self._reserved if request.path in self._service.reserved else self._threads

    def _watch(self) -> None:
        self._is_watching = self._threads.replace_waiting()
        if self._is_watching:
            self._loop.call_later(WATCH_INTERVAL_S, self._watch)

    def run(self, job: Callable[[], None]) -> None:
        self._threads.submit(job)

    def count_body(self, size: int) -> None:
        self.body_bytes += size

    def release(self, request: Request) -> None:
        """Release the body, which is no longer needed."""
        self.count_body(-request.memory_bytes)
        if request.memory_bytes > LARGE_BODY_BYTES:
            self.run(_collect)
        request.body_size = request.spooled_bytes = 0
        if request.spool:
            self.run(request.spool.close)

    def open_spool(self) -> Spool:
        """Open a spool. Raises RefusedError if the disk accepts none, or if other uploads use all places."""
        self._spools = {spool for spool in self._spools if not spool.is_closed}
        if len(self._spools) >= self.limits.max_spools:
            raise overloaded("Too many uploads are in progress.")
        try:
            spool = Spool(self.limits.spool_folder)
        except OSError as error:
            raise disk_full() from error
        self._spools.add(spool)
        return spool

    def write_to_disk(self, spool: Spool, parts: list[bytes], resume: Callable[[RefusedError | None], None]) -> None:
        """Write in the writer's thread, and call `resume` in the loop, with the reason if the disk is full."""

        def job() -> None:
            try:
                spool.write(parts)
            except OSError:
                self._loop.call_soon_threadsafe(resume, disk_full())
            else:
                self._loop.call_soon_threadsafe(resume, None)

        self._writer.submit(job)

    def too_large(self) -> RefusedError:
        detail = self._service.too_large.format(limit=self.limits.max_body_bytes)
        return RefusedError(413, "request_too_large", detail)


def _collect() -> None:
    """Free what a large upload leaves in reference cycles: the collector counts objects, not their size."""
    gc.collect()
