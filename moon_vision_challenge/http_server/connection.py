"""One client's connection in the event loop: answers its requests one at a time, and enforces its deadlines."""

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

from .exchange import Exchange, Part, refusal_part
from .pace import Pace
from .reader import RequestReader
from .request import RefusedError, Request, base_environ, overloaded, too_slow
from .runner import Runner
from .spool import BLOCK_BYTES

WRITE_BUFFER_BYTES = 64 * 1024
REFUSAL_DELAY_S = 0.5
"""The delay of the answer to a request that no thread will run. Clients that ignore Retry-After return at once."""


class State(enum.Enum):
    NEW = enum.auto()  # nothing has arrived yet
    IDLE = enum.auto()  # between two requests
    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWERING = enum.auto()
    DRAINING = enum.auto()  # refused: what still arrives is dropped
    CLOSING = enum.auto()  # the last bytes of the answer are being sent


class Register(Protocol):
    """The connections of a process."""

    def add(self, connection: "Connection") -> bool:
        """Add a connection. Return False if the maximum number of connections have a request in progress."""

    def remove(self, connection: "Connection") -> None: ...

    def shed_one(self) -> None:
        """Refuse the slowest of the bodies that are being read."""

    def warn(self, message: str) -> None:
        """Log the message, unless a warning was logged recently."""


class Connection(asyncio.Protocol):
    """A connection. The transport calls it with the bytes that arrive, the worker with the time."""

    def __init__(self, runner: Runner, register: Register) -> None:
        self._runner, self._register = runner, register
        self._limits = runner.limits
        self._transport: asyncio.Transport
        self._reader = RequestReader(runner.limits, runner.count_body, runner.too_large)
        self._waiting: deque[Request | RefusedError] = deque()  # pipelined
        self._current = Request()
        self._exchange: Exchange | None = None
        self._is_busy = False  # a thread works on the answer, or the answer is delayed
        self._held_back = b""  # arrived while a request was being answered
        self._is_deaf = False  # the server reads nothing more from the client
        self._is_write_paused = False
        self._has_ended = False  # the client has closed its side
        self._drained_bytes = 0
        self._pace = Pace(runner.limits)
        self.state = State.NEW
        self.deadline = runner.now() + self._limits.head_timeout_s

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        host, *client_port = transport.get_extra_info("peername") or ("", 0)
        client = (host.removeprefix("::ffff:") if "." in host else host, client_port[0])  # IPv4 on a dual-stack socket
        server = transport.get_extra_info("sockname") or ("", 0)
        self._base = base_environ(client, server[:2], is_multiprocess=self._runner.is_multiprocess)
        if not self._register.add(self):
            self._refuse(overloaded("Too many connections are open."))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._is_deaf = True
        self._reader.discard()
        for waiting in self._waiting:
            if isinstance(waiting, Request):
                self._runner.release(waiting)
        self._waiting.clear()
        self._take_held_back()
        if self._exchange and not self._is_busy:
            self._runner.run(self._exchange.close)
            self._finish_exchange()
        self._register.remove(self)

    def data_received(self, data: bytes) -> None:
        if self.state is State.DRAINING:
            self._drained_bytes += len(data)
            if self._drained_bytes > self._limits.max_drained_bytes:
                self._transport.abort()
        elif self._is_deaf:
            pass
        elif self.state is State.ANSWERING:
            self._held_back += data
            self._runner.count_body(len(data))
            self._transport.pause_reading()
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        self._has_ended = True
        return self.state is State.ANSWERING  # otherwise no request is waiting, and asyncio closes the connection

    def pause_writing(self) -> None:
        self._is_write_paused = True
        if self.state is not State.CLOSING:
            self.deadline = self._runner.now() + self._limits.write_timeout_s

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if self.state is State.ANSWERING:
            self._advance()

    # Called by the worker

    def check_deadline(self, now: float) -> None:
        if self.state is State.BODY and self._pace.is_too_slow(now, self._reader.body_bytes):
            self._refuse(too_slow("The body arrived too slowly."))
        elif now < self.deadline:
            pass
        elif self.state is State.HEAD:
            self._refuse(too_slow("The request line and the headers did not arrive in time."))
        elif self.state is State.BODY:
            self._refuse(too_slow("The body did not arrive in time."))
        elif self.state is not State.ANSWERING or self._is_write_paused:
            self._transport.abort()

    def shed(self) -> None:
        """Refuse this upload, because all bodies together take too much memory."""
        self._refuse(overloaded("Too many uploads are in progress."))

    def stop(self) -> None:
        """Prepare for the end of the process: finish requests, and close connections without a request."""
        if self.state is State.IDLE:
            self._transport.close()
        elif self.state is State.NEW:
            self.deadline = min(self.deadline, self._runner.now() + self._limits.sweep_interval_s)

    def close(self) -> None:
        """Close at once, whatever is in progress."""
        self.state = State.CLOSING
        self._transport.abort()

    # Requests

    def _feed(self, data: bytes) -> None:
        refused = None
        try:
            self._reader.feed(data)
        except RefusedError as error:
            refused = error
        self._waiting.extend(self._reader.complete)
        self._reader.complete.clear()
        if refused:
            self._refuse(refused)
        if self._waiting:
            self._advance()
        elif not self._is_deaf:
            self._expect_more()
            if self.state is State.BODY and self._runner.body_bytes > self._limits.max_body_memory_bytes:
                self._register.shed_one()
            elif self._reader.is_spooled and self._reader.incomplete.memory_bytes >= BLOCK_BYTES:
                self._write_to_disk(self._reader.incomplete)

    def _write_to_disk(self, request: Request) -> None:
        """Write the body that has arrived, and read nothing more until the writing thread is done."""
        try:
            spool = request.spool = request.spool or self._runner.open_spool()
        except RefusedError as refused:
            self._refuse(refused)
            return
        parts, request.body_parts = request.body_parts, []
        self._transport.pause_reading()

        def resume(refused: RefusedError | None) -> None:
            if request is not self._reader.incomplete:  # the client has disconnected, or was refused
                return
            size = request.memory_bytes
            request.spooled_bytes += size
            self._runner.count_body(-size)
            if refused:
                self._refuse(refused)
            else:
                self._transport.resume_reading()

        self._runner.write_to_disk(spool, parts, resume)

    def _expect_more(self) -> None:
        """Set the deadline of the request that has begun, or of the next one."""
        state = (
            State.BODY if self._reader.is_head_known else State.HEAD if self._reader.is_message_begun else State.IDLE
        )
        if state is self.state:
            return
        now = self._runner.now()
        if state is State.BODY:
            limits = self._limits
            self.deadline = now + (limits.spooled_timeout_s if self._reader.is_spooled else limits.body_timeout_s)
            self._pace.start(now, self._reader.body_bytes)
            if self._reader.expects_continue:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        else:
            self.deadline = now + (self._limits.head_timeout_s if state is State.HEAD else self._limits.idle_timeout_s)
        self.state = state

    def _advance(self) -> None:
        """Continue the current exchange, start the next request, or wait for one."""
        if self._is_write_paused or self._is_busy:
            return
        if self._exchange:
            self._run(self._exchange.proceed)
        elif not self._waiting:
            self._wait()
        elif isinstance(waiting := self._waiting.popleft(), RefusedError):
            self._refuse_now(waiting)
        else:
            self._answer(waiting)

    def _wait(self) -> None:
        """Start the deadline for what the client sends next."""
        if data := self._take_held_back():
            self._expect_more()
            self._feed(data)
            if self.state is not State.ANSWERING:
                self._transport.resume_reading()
        else:
            self._expect_more()
        if self.state is State.ANSWERING:
            return
        if self._has_ended:
            self._close_when_written()
        elif self._runner.is_stopping:
            self.stop()

    def _take_held_back(self) -> bytes:
        data, self._held_back = self._held_back, b""
        self._runner.count_body(-len(data))
        return data

    # Answers

    def _answer(self, request: Request) -> None:
        self.state = State.ANSWERING
        self._current = request
        exchange, is_immediate = self._runner.exchange(request, self._base)
        if not is_immediate and (refused := self._runner.refusal(request)):
            self._put_off(refused)
            return
        self._exchange = exchange
        if is_immediate:
            self._deliver(exchange.start())
        else:
            self._run(exchange.start)

    def _put_off(self, refused: RefusedError) -> None:
        """Forget the current request, and refuse it after a delay."""
        self._register.warn("requests would wait too long for a thread, refusing some")
        self._runner.count_body(-self._current.memory_bytes)
        self._current = Request()
        self._is_busy = True
        self._runner.call_later(REFUSAL_DELAY_S, self._deliver, refusal_part(refused, self._runner.date))

    def _run(self, step: Callable[[], Part]) -> None:
        self._is_busy = True
        self._runner.submit(step, self._deliver, self._current)

    def _deliver(self, part: Part) -> None:
        """Send the next bytes of the answer, back in the loop."""
        self._is_busy = False
        if self._transport.is_closing():  # the client no longer reads
            if self._exchange and not part.is_last:
                self._runner.run(self._exchange.close)
            self._finish_exchange()
            return
        self._transport.write(part.data)
        if part.is_last:
            self._finish_exchange()
        if part.is_last and not part.is_keep_alive:
            self._close_when_written()
        else:
            self._advance()

    def _finish_exchange(self) -> None:
        self._runner.release(self._current)
        self._exchange = None

    def _refuse(self, refused: RefusedError) -> None:
        """Send the refusal now, or after the answers that come before it."""
        if self._is_deaf:
            return
        self._is_deaf = True
        refused.more_headers = self._runner.refusal_headers(self._reader.incomplete)
        self._reader.discard()
        if self.state is State.ANSWERING or self._waiting:
            self._waiting.append(refused)
        else:
            self._refuse_now(refused)

    def _refuse_now(self, refused: RefusedError) -> None:
        self._transport.write(refusal_part(refused, self._runner.date).data)
        self.state = State.DRAINING
        self.deadline = self._runner.now() + self._limits.drain_timeout_s
        self._transport.resume_reading()
        self._transport.write_eof()

    def _close_when_written(self) -> None:
        """Let the client read the whole answer before the connection closes, if it does so in time."""
        self._is_deaf = True
        self.state = State.CLOSING
        self.deadline = self._runner.now() + self._limits.write_timeout_s
        self._transport.close()
