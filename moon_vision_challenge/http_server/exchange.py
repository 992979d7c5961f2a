"""Handles one request in the threads: calls the application and turns its answer into bytes."""

import logging
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

import orjson

from .request import RefusedError, Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

FILE_BLOCK_BYTES = 128 * 1024
_OURS = frozenset({"connection", "transfer-encoding", "keep-alive", "date", "server"})
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Part(NamedTuple):
    """Bytes for the client."""

    data: bytes
    is_last: bool
    is_keep_alive: bool


class FileWrapper:
    """wsgi.file_wrapper: sends a file in larger blocks than the application would use."""

    def __init__(self, file: IO[bytes], block_size: int = 0) -> None:
        self._file = file
        self._block_size = max(block_size, FILE_BLOCK_BYTES)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(self._block_size), b"")

    def close(self) -> None:
        if hasattr(self._file, "close"):
            self._file.close()


class Process(Protocol):
    """What an exchange needs from its process."""

    date: bytes
    """The value of the Date header."""
    is_stopping: bool

    def refusal_headers(self, request: Request) -> bytes:
        """Return more headers for an answer to this request that does not come from the application."""


class Exchange:
    """One request and its answer. Call `start`, then `proceed` until the last part, or `close` if the client leaves.

    The methods run in threads, one at a time.
    """

    def __init__(
        self, application: "WSGIApplication", request: Request, base: "WSGIEnvironment", process: Process
    ) -> None:
        self._application = application
        self._request = request
        self._base = base
        self._process = process
        self._status: int | None = None
        self._headers: list[tuple[str, str]] = []
        self._result: Any = None
        self._chunks: Iterator[bytes] = iter(())
        self._left: int | None = None  # bytes until Content-Length is reached
        self._is_chunked = False
        self._is_keep_alive = request.is_keep_alive

    def start(self) -> Part:
        """Call the application, and return the head of its answer with the first bytes of the body."""
        try:
            environ = self._request.environ(self._base)
            environ["wsgi.file_wrapper"] = FileWrapper
            self._result = self._application(environ, self._start_response)
            self._chunks = iter(self._result)
            chunk = self._next_chunk()
            if self._status is None:
                raise RuntimeError("the application has not called start_response")
            return self._part(chunk, self._head(self._status, is_whole=chunk is None))
        except RefusedError as refused:
            return self._refuse(refused)
        except Exception:  # whatever the application raises, the client gets an answer and the server continues
            logger.exception("the application failed")
            return self._refuse(RefusedError(500, "internal_error", "Internal error. It has been logged."))

    def proceed(self) -> Part:
        """Return the next bytes of the body."""
        try:
            return self._part(self._next_chunk(), b"")
        except Exception:  # the status has been sent, so the answer can only be aborted
            logger.exception("the application failed in the middle of its answer")
            self.close()
            return Part(b"", is_last=True, is_keep_alive=False)

    def close(self) -> None:
        result, self._result, self._chunks = self._result, None, iter(())
        if hasattr(result, "close"):
            result.close()

    def _refuse(self, refused: RefusedError) -> Part:
        self.close()
        refused.more_headers = self._process.refusal_headers(self._request)
        return refusal_part(refused, self._process.date, is_head=self._request.method == b"HEAD")

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], _exc_info: Any = None
    ) -> Callable[[bytes], object]:
        self._status, self._headers = int(status.split(" ", 1)[0]), headers
        return self._write

    def _write(self, data: bytes) -> None:
        raise NotImplementedError(f"return the {len(data)} bytes instead: write() is for old applications only")

    def _next_chunk(self) -> bytes | None:
        return next((chunk for chunk in self._chunks if chunk), None)

    def _has_body(self) -> bool:
        return self._request.method != b"HEAD" and self._status not in (204, 304)

    def _head(self, status: int, *, is_whole: bool) -> bytes:
        lines = []
        for name, value in self._headers:
            lowered = name.lower()
            if lowered in _OURS or (lowered == "content-length" and status in (204, 304)):
                continue
            if lowered == "content-length":
                self._left = int(value)
            lines.append(f"{name}: {value}\r\n")
        text = "".join(lines)
        if not text.count("\r") == text.count("\n") == len(lines):
            names = [line.partition(":")[0] for line in lines if line.count("\r") + line.count("\n") > 2]
            raise ValueError(f"a line break in the headers {names}")
        head = [
            _STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode(),
            b"Date: ",
            self._process.date,
            b"\r\n",
            text.encode("latin-1"),
        ]
        if self._has_body() and self._left is None:
            self._add_framing(head, is_whole=is_whole)
        self._is_keep_alive &= not self._process.is_stopping
        if not self._is_keep_alive:
            head.append(b"Connection: close\r\n")
        elif self._request.version == "1.0":
            head.append(b"Connection: keep-alive\r\n")
        head.append(b"\r\n")
        return b"".join(head)

    def _add_framing(self, head: list[bytes], *, is_whole: bool) -> None:
        if is_whole:
            head.append(b"Content-Length: 0\r\n")
        elif self._request.version == "1.1":
            self._is_chunked = True
            head.append(b"Transfer-Encoding: chunked\r\n")
        else:
            self._is_keep_alive = False  # the end of the connection marks the end of the answer

    def _part(self, chunk: bytes | None, head: bytes) -> Part:
        if not self._has_body():
            chunk = None
        elif chunk is not None and self._left is not None:
            chunk = chunk[: self._left]
            self._left -= len(chunk)
        is_last = chunk is None or self._left == 0
        data = chunk or b""
        if self._is_chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        if is_last:
            self.close()
            is_short = self._has_body() and bool(self._left)
            self._is_keep_alive = self._is_keep_alive and not is_short
        return Part(head + data, is_last, self._is_keep_alive)


def refusal_part(refused: RefusedError, date: bytes, *, is_head: bool = False) -> Part:
    """Return the whole answer to a request that does not reach the application."""
    body = orjson.dumps({"detail": refused.detail, "code": refused.code})
    retry = f"Retry-After: {refused.retry_after_s}\r\n" if refused.retry_after_s else ""
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{retry}Connection: close\r\n".encode()
    data = (
        _STATUS_LINES[refused.status]
        + b"Date: "
        + date
        + b"\r\n"
        + head
        + refused.more_headers
        + b"\r\n"
        + (b"" if is_head else body)
    )
    return Part(data, is_last=True, is_keep_alive=False)
