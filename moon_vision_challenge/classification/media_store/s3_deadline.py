"""A deadline for a whole call of boto3, which by itself limits only the wait for the next bytes.

A server that sends or accepts a byte now and then would otherwise block the caller forever. At the deadline, the
sockets of the call are shut down, and any thread that waits for them gets an error.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)


class _Call:
    """A call of one thread within a deadline."""

    def __init__(self) -> None:
        self.is_over = False
        self._connections: list[Any] = []
        self._lock = threading.Lock()

    def add(self, connection: Any) -> None:
        """Add a connection of the call. Raises TimeoutError after the deadline, because boto3 may retry."""
        with self._lock:
            self._connections.append(connection)
        self.check()

    def check(self) -> None:
        if self.is_over:
            raise TimeoutError("the call to S3 took too long")

    def end(self) -> None:
        with self._lock:
            self.is_over = True
            for connection in self._connections:
                _shut_down(connection.sock)


class _Thread(threading.local):
    call: _Call | None = None


_thread = _Thread()


class DeadlineExceededError(Exception):
    """The call was ended at its deadline."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Limit the time that boto3 takes in this thread. Raises DeadlineExceededError."""
    call = _Call()
    timer = threading.Timer(seconds, call.end)
    timer.daemon = True
    timer.start()
    outer, _thread.call = _thread.call, call
    late = DeadlineExceededError(f"S3 did not complete the call within {seconds:g} s")
    try:
        yield
    except Exception as error:
        if call.is_over:
            raise late from error
        raise
    else:
        if call.is_over:  # a response without a length looks complete when its connection ends
            raise late
    finally:
        timer.cancel()
        _thread.call = outer


class _Bounded:
    """A connection whose requests belong to the current call of their thread."""

    def request(self, *args: Any, **options: Any) -> Any:
        if _thread.call:
            _thread.call.add(self)
        return super().request(*args, **options)  # type: ignore[misc]  # of botocore's class

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        if _thread.call:
            _thread.call.check()


class _HTTPConnection(_Bounded, AWSHTTPConnection):  # type: ignore[misc]  # botocore has no types
    pass


class _HTTPSConnection(_Bounded, AWSHTTPSConnection):  # type: ignore[misc]
    pass


AWSHTTPConnectionPool.ConnectionCls = _HTTPConnection
AWSHTTPSConnectionPool.ConnectionCls = _HTTPSConnection


def _shut_down(opened: socket.socket | None) -> None:
    if opened is not None:
        with suppress(OSError):  # already closed
            # Not SSLSocket's method, which changes state that the other thread uses.
            socket.socket.shutdown(opened, socket.SHUT_RDWR)
