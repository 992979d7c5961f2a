"""One client's connection, in the event loop: bytes → requests, one at a time; parts of answers → bytes."""

import asyncio
import enum
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import httptools

from .exchange import Exchange, Part, refusal_part
from .request import RefusedError, Request, base_environ, malformed

if TYPE_CHECKING:
    from .worker import Worker

WRITE_BUFFER_BYTES = 64 * 1024
MAX_PIPELINED = 100
MAX_FRAMING_BYTES = 64 * 1024  # of chunks, beside a quarter of the body; more is work for nothing


class State(enum.Enum):
    NEW = enum.auto()  # nothing has come yet
    IDLE = enum.auto()  # between two requests
    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWERING = enum.auto()
    DRAINING = enum.auto()  # refused: what still comes is dropped
    CLOSING = enum.auto()  # the last bytes of the answer are on their way


class Connection(asyncio.Protocol):
    """The parser calls the `on_...` methods while `data_received` feeds it; the worker calls `check_deadline`."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._limits = worker.limits
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._request = self._current = Request()
        self._waiting: deque[Request | RefusedError] = deque()  # pipelined
        self._exchange: Exchange | None = None
        self._is_in_thread = False
        self._held_back = b""  # came while a request was being answered
        self._is_deaf = False  # nothing more is parsed
        self._is_write_paused = False
        self._is_reparsing = False  # the head of a request whose body the parser took for another protocol's
        self._is_message_begun = self._is_head_known = self._expects_continue = False
        self._has_ended = False  # the client has closed its side
        self._raw_bytes = self._drained_bytes = 0
        self._window_end = self._window_bytes = 0.0
        self.state = State.NEW
        self.deadline = worker.now() + self._limits.head_timeout_s

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        client = transport.get_extra_info("peername") or ("", 0)
        server = transport.get_extra_info("sockname") or ("", 0)
        self._base = base_environ(client[:2], server[:2], is_multiprocess=self._worker.is_multiprocess)
        if not self._worker.add(self):
            self._refuse(_overloaded("Too many connections are open. Try again later."))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._is_deaf = True
        for request in (self._request, *self._waiting):
            if isinstance(request, Request):
                self._release(request)
        self._waiting.clear()
        self._take_held_back()
        if self._exchange and not self._is_in_thread:
            self._worker.run(self._exchange.close)
            self._finish_exchange()
        self._worker.remove(self)

    def data_received(self, data: bytes) -> None:
        if self.state is State.DRAINING or self.state is State.CLOSING:
            self._drained_bytes += len(data)
            if self._drained_bytes > self._limits.max_drained_bytes:
                self._transport.abort()
        elif self._is_deaf:
            pass
        elif self.state is State.ANSWERING:
            self._held_back += data
            self._worker.body_bytes += len(data)
            self._transport.pause_reading()
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        self._has_ended = True
        return self.state is State.ANSWERING  # else nobody waits for an answer, and asyncio closes the connection

    def pause_writing(self) -> None:
        self._is_write_paused = True
        if self.state is not State.CLOSING:
            self.deadline = self._worker.now() + self._limits.write_timeout_s

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if self.state is State.ANSWERING:
            self._advance()

    # The worker's side

    def check_deadline(self, now: float) -> None:
        if self.state is State.BODY and now >= self._window_end:
            if self._window_bytes < self._limits.min_body_bytes_per_s * self._limits.rate_window_s:
                self._refuse(_too_slow("The body came too slowly."))
                return
            self._window_end, self._window_bytes = now + self._limits.rate_window_s, 0
        if now < self.deadline:
            return
        if self.state is State.HEAD:
            self._refuse(_too_slow("The request's head did not come in time."))
        elif self.state is State.BODY:
            self._refuse(_too_slow("The body did not come in time."))
        elif self.state is not State.ANSWERING or self._is_write_paused:
            self._transport.abort()

    def shed(self) -> None:
        """Give way, because all bodies together take too much memory."""
        self._refuse(_overloaded("Too many uploads are under way. Try again later."))

    def stop(self) -> None:
        """The process ends: requests are finished, connections without one are closed."""
        if self.state is State.IDLE and not self._is_message_begun:
            self._transport.close()
        elif self.state is State.NEW:
            self.deadline = min(self.deadline, self._worker.now() + self._limits.sweep_interval_s)

    def close(self) -> None:
        """At once, whatever is under way."""
        self.state = State.CLOSING
        self._transport.abort()

    # The parser's side

    def on_message_begin(self) -> None:
        if self._is_reparsing:
            return
        self._is_message_begun = True
        self._raw_bytes = 0
        if self.state is not State.ANSWERING:
            self._expect_more()

    def on_url(self, url: bytes) -> None:
        if not self._is_reparsing:
            self._request.target += url
            self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_reparsing:
            return
        self._count_head(len(name) + len(value) + 4)
        if not self._is_head_known:  # else a trailer, which nobody reads
            self._request.headers.append((name, value))
            if len(self._request.headers) > self._limits.max_headers:
                raise RefusedError(431, "headers_too_large", f"At most {self._limits.max_headers} headers are accepted.")

    def on_headers_complete(self) -> None:
        if self._is_reparsing:
            self._is_reparsing = False
            return
        request = self._request
        self._is_head_known = True
        request.method, request.version = self._parser.get_method(), self._parser.get_http_version()
        request.is_keep_alive = self._parser.should_keep_alive()
        self._expects_continue = self._check_head(request) and request.version == "1.1"
        if self.state is not State.ANSWERING:
            self._expect_more()

    def on_body(self, body: bytes) -> None:
        request = self._request
        size = len(body)
        request.body_parts.append(body)
        request.body_size += size
        self._window_bytes += size
        self._worker.body_bytes += size
        if request.body_size > self._limits.max_body_bytes:
            raise self._worker.too_large()

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade() and _framing(self._request):
            return  # the body has yet to come
        self._is_message_begun = self._is_head_known = False
        self._raw_bytes = 0
        if self._parser.should_upgrade() and self._request.method == b"CONNECT":
            raise RefusedError(501, "not_implemented", "This server is not a proxy.")
        request, self._request = self._request, Request()
        if len(self._waiting) >= MAX_PIPELINED:
            raise RefusedError(429, "too_many_requests", "Too many requests were sent without reading the answers.")
        self._waiting.append(request)
        if self.state is not State.ANSWERING:
            self._advance()

    # Our own

    def _feed(self, data: bytes) -> None:
        self._raw_bytes += len(data)
        try:
            self._parse(data)
            if not self._is_head_known and self.state is State.HEAD and self._raw_bytes > self._limits.max_head_bytes:
                raise self._head_too_large()
            if self._raw_bytes - self._request.body_size > MAX_FRAMING_BYTES + self._request.body_size // 4:
                raise malformed("The body's chunks are too small.")
        except RefusedError as refused:
            self._refuse(refused)
        else:
            if self.state is State.BODY and self._worker.body_bytes > self._limits.max_body_memory_bytes:
                self._worker.shed_one()

    def _parse(self, data: bytes) -> None:
        """Raises RefusedError."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            raise (error.__context__ or error) from None
        except httptools.HttpParserInvalidMethodError:
            raise RefusedError(501, "not_implemented", "The request's method is not known.") from None
        except httptools.HttpParserError as error:
            raise malformed(f"The request is not valid HTTP/1.1: {error}.") from None

    def _ignore_upgrade(self, rest: bytes) -> None:
        """No other protocol is spoken here (RFC 9110, 7.8): the request is one like others, its body comes behind it.

        Java's HTTP client asks for h2c with every POST. The parser takes what follows for the other protocol, so a new
        one is told how the body is framed and reads on.
        """
        self._parser = httptools.HttpRequestParser(self)
        if framing := _framing(self._request):
            self._is_reparsing = True
            rest = b"POST / HTTP/1.1\r\n%b\r\n\r\n%b" % (framing, rest)
        self._parse(rest)

    def _check_head(self, request: Request) -> bool:
        """Whether the client waits for "100 Continue". Raises RefusedError."""
        if request.version not in ("1.0", "1.1"):
            raise RefusedError(505, "http_version_not_supported", "This server speaks HTTP/1.1 and HTTP/1.0.")
        hosts, length, expects_continue = 0, 0, False
        for name, value in request.headers:
            match name.lower():
                case b"host":
                    hosts += 1
                case b"content-length":
                    length = int(value)
                case b"expect":
                    expects_continue = value.lower() == b"100-continue"
                case b"transfer-encoding" if value.strip().lower() != b"chunked":
                    raise RefusedError(501, "not_implemented", "No Transfer-Encoding but chunked is understood.")
                case b"transfer-encoding" if request.version == "1.0":
                    raise malformed("HTTP/1.0 has no Transfer-Encoding.")
        if hosts > 1 or (not hosts and request.version == "1.1"):
            raise malformed("State one Host.")
        if length > self._limits.max_body_bytes:
            raise self._worker.too_large()
        return expects_continue

    def _count_head(self, size: int) -> None:
        self._request.head_size += size
        if self._request.head_size > self._limits.max_head_bytes:
            raise self._head_too_large()

    def _head_too_large(self) -> RefusedError:
        detail = f"The request line and the headers are too large. At most {self._limits.max_head_bytes:,} bytes are accepted."
        return RefusedError(431, "headers_too_large", detail)

    def _advance(self) -> None:
        """Go on with the exchange under way, or the next request; or wait for one."""
        if self._is_write_paused or self._is_in_thread:
            return
        if self._exchange:
            self._run(self._exchange.proceed)
        elif self._waiting:
            waiting = self._waiting.popleft()
            if isinstance(waiting, RefusedError):
                self._refuse_now(waiting)
            else:
                self._answer(waiting)
        elif not self._is_deaf:
            self._wait()
            if self._worker.is_stopping:
                self.stop()

    def _answer(self, request: Request) -> None:
        self.state = State.ANSWERING
        self._current = request
        if answer := self._worker.immediate_answer(request):
            self._exchange = Exchange(answer, request, self._base, self._worker)
            self._deliver(self._exchange.start())
            return
        self._exchange = Exchange(self._worker.application, request, self._base, self._worker)
        self._run(self._exchange.start)

    def _run(self, step: Callable[[], Part]) -> None:
        self._is_in_thread = True
        self._worker.submit(step, self._deliver, self._current)

    def _deliver(self, part: Part) -> None:
        """In the loop again, with the next bytes of the answer."""
        self._is_in_thread = False
        if self._transport.is_closing():  # nobody reads it any more
            if self._exchange and not part.is_last:
                self._worker.run(self._exchange.close)
            self._finish_exchange()
            return
        self._transport.write(part.data)
        if not part.is_last:
            self._advance()
            return
        self._finish_exchange()
        if part.is_keep_alive:
            self._advance()
        else:
            self._close_when_written()

    def _finish_exchange(self) -> None:
        self._release(self._current)
        self._exchange = None

    def _expect_more(self) -> None:
        """Of the request that has begun, or of the next one."""
        now = self._worker.now()
        if self._is_head_known:
            self.state = State.BODY
            self.deadline = now + self._limits.body_timeout_s
            self._window_end, self._window_bytes = now + self._limits.rate_window_s, 0
            if self._expects_continue:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif self._is_message_begun:
            self.state = State.HEAD
            self.deadline = now + self._limits.head_timeout_s
        else:
            self.state = State.IDLE
            self.deadline = now + self._limits.idle_timeout_s

    def _wait(self) -> None:
        """For what the client sends next."""
        self._expect_more()
        if data := self._take_held_back():
            self._feed(data)
            if self.state is not State.ANSWERING:
                self._transport.resume_reading()
        if self._has_ended and self.state in (State.IDLE, State.HEAD, State.BODY):
            self._close_when_written()

    def _take_held_back(self) -> bytes:
        data, self._held_back = self._held_back, b""
        self._worker.body_bytes -= len(data)
        return data

    def _refuse(self, refused: RefusedError) -> None:
        """Now, or behind the answers that come before."""
        if self._is_deaf:
            return
        self._is_deaf = True
        self._release(self._request)
        if self.state is State.ANSWERING:
            self._waiting.append(refused)
        else:
            self._refuse_now(refused)

    def _refuse_now(self, refused: RefusedError) -> None:
        self._is_deaf = True
        self._transport.write(refusal_part(refused, self._worker.date).data)
        self.state = State.DRAINING
        self.deadline = self._worker.now() + self._limits.drain_timeout_s
        self._transport.resume_reading()
        self._transport.write_eof()

    def _close_when_written(self) -> None:
        """The client reads all of the answer before the connection closes, if it does so in time."""
        self._is_deaf = True
        self.state = State.CLOSING
        self.deadline = self._worker.now() + self._limits.write_timeout_s
        self._transport.close()

    def _release(self, request: Request) -> None:
        """Its body is needed no longer."""
        self._worker.body_bytes -= request.body_size
        request.body_size = 0
        request.body_parts = []


def _framing(request: Request) -> bytes:
    """The header that says how long the body is, if there is one."""
    for name, value in request.headers:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            return name + b": " + value
    return b""


def _too_slow(detail: str) -> RefusedError:
    return RefusedError(408, "request_timeout", detail + " Send it faster, or in smaller parts.")


def _overloaded(detail: str) -> RefusedError:
    return RefusedError(503, "overloaded", detail, retry_after_s=5)
