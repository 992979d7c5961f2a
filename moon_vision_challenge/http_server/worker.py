"""A serving process: it accepts connections, checks deadlines, hands requests to the threads, and stops gracefully."""

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from contextlib import suppress
from email.utils import formatdate

import uvloop

from .connection import Connection, State
from .runner import Runner
from .service import Service

logger = logging.getLogger(__name__)

# How long a process leaves a new connection to processes that have fewer connections.
YIELD_S = 0.005
ACCEPT_PAUSE_S = 0.2
ACCEPT_AT_ONCE = 16
WARN_INTERVAL_S = 60
EVICTABLE = (State.NEW, State.IDLE, State.HEAD, State.DRAINING)


class Worker:
    def __init__(
        self, service: Service, listener: socket.socket, counts: "memoryview[int]", number: int, parent: int
    ) -> None:
        """`counts`: the connections of each process, in shared memory. `number` is the index of this process.

        `parent`: the process to end with. It may already have ended, so this process cannot look up its id.
        """
        self._service = service
        self._limits = service.limits
        self._listener = listener
        self._counts = counts
        self._number = number
        self._connections: dict[Connection, None] = {}  # oldest first
        self._accepting: set[asyncio.Task[object]] = set()
        self._warned_at = -float(WARN_INTERVAL_S)
        self._parent = parent

    def serve(self) -> None:
        """Serve until the process is told to stop and has answered its open requests."""
        uvloop.run(self._serve())
        self._service.finish()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        self._runner = Runner(self._service, self._loop, is_multiprocess=len(self._counts) > 1)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stop.set)
        self._counts[self._number] = 0
        self._listener.settimeout(0)
        self._loop.add_reader(self._listener, self._on_readable)
        sweeping = self._loop.create_task(self._sweep(stop))
        await stop.wait()
        await self._stop()
        sweeping.cancel()

    # Connections

    def _on_readable(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            if self._counts[self._number] > min(self._counts):
                self._pause_accepting(YIELD_S, and_accept=True)
                break
            if not self._accept_one():
                break

    def _pause_accepting(self, seconds: float, *, and_accept: bool = False) -> None:
        def resume() -> None:
            if not self._runner.is_stopping:
                self._loop.add_reader(self._listener, self._on_readable)
                if and_accept:
                    self._accept_one()

        self._loop.remove_reader(self._listener)
        self._loop.call_later(seconds, resume)

    def _accept_one(self) -> bool:
        """Accept a connection. Return False if there is none."""
        try:
            accepted, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return False
        except OSError as error:  # usually because no file descriptor is left
            self.warn(f"cannot accept connections: {error}")
            self._pause_accepting(ACCEPT_PAUSE_S)
            return False
        accepted.settimeout(0)
        with suppress(OSError):  # the client has already disconnected
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(
            self._loop.connect_accepted_socket(lambda: Connection(self._runner, self), accepted)
        )
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        self._count()
        return True

    def add(self, connection: Connection) -> bool:
        """Add a connection. Return False if the maximum number of connections have a request in progress."""
        self._connections[connection] = None
        if len(self._connections) <= self._limits.max_connections:
            return True
        self.warn(f"{self._limits.max_connections} connections are open, closing those that have been idle longest")
        for other in self._connections:
            if other.state in EVICTABLE and other is not connection:
                other.close()
                return True
        return False

    def remove(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._count()

    def _count(self) -> None:
        self._counts[self._number] = len(self._connections) + len(self._accepting)

    def shed_one(self) -> None:
        """Refuse the slowest of the bodies that are being read."""
        reading = [connection for connection in self._connections if connection.state is State.BODY]
        self.warn("the bodies of requests use up their memory, refusing the slowest upload")
        min(reading, key=lambda connection: connection.deadline).shed()

    def warn(self, message: str) -> None:
        """Log at most one line per minute, so that clients cannot fill the log."""
        if self._now() > self._warned_at + WARN_INTERVAL_S:
            self._warned_at = self._now()
            logger.warning("%s", message)

    # Time

    async def _sweep(self, stop: asyncio.Event) -> None:
        interval_s = self._limits.sweep_interval_s
        while True:
            self._runner.date = formatdate(time.time(), usegmt=True).encode()
            now = self._now()
            for connection in list(self._connections):
                connection.check_deadline(now)
            if os.getppid() != self._parent:  # nothing would restart or stop this process
                stop.set()
            await asyncio.sleep(interval_s)

    async def _stop(self) -> None:
        self._runner.is_stopping = True
        self._loop.remove_reader(self._listener)
        while self._accept_one():
            pass
        if self._accepting:
            await asyncio.wait(self._accepting)
        self._listener.close()
        for connection in list(self._connections):
            connection.stop()
        end = self._now() + self._limits.stop_timeout_s
        while self._connections and self._now() < end:
            await asyncio.sleep(0.02)
        if self._connections:
            logger.warning("%d requests were not answered before the process had to stop", len(self._connections))
        for connection in list(self._connections):
            connection.close()


def freeze() -> None:
    """Exclude the objects that exist at the start from garbage collection, which would copy their shared pages."""
    gc.collect()
    gc.freeze()
