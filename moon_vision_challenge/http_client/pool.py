"""Requests to our own services, over connections that stay open."""

import ctypes
import functools
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pycurl
import requests

from moon_vision_challenge.http_client.errors import (
    ConnectionBrokenError,
    DeadlineExceededError,
    RequestFailedError,
)
from moon_vision_challenge.http_client.handle import QUICK_EXIT, new_handle, set_body, set_headers

CONNECTION_LIFETIME_S = 60
"""A load balancer chooses a server for each connection. If connections never ended, a new server would get none."""
_BROKEN = {pycurl.E_COULDNT_CONNECT, pycurl.E_GOT_NOTHING, pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR}

OnHeader = Callable[[bytes], None]


@dataclass
class _Handle:
    curl: pycurl.Curl
    headers: Sequence[str] = ()
    """The lines that were set for the last request, in addition to those of the pool."""


class Pool:
    """Sends requests to our own services over connections that stay open.

    Threads may share a pool. Each takes a libcurl handle, with its connections, for the duration of a request.
    """

    def __init__(self, headers: Sequence[str]) -> None:
        """`headers` are lines such as `Content-Type: application/json`. Every request has them."""
        self._headers = headers
        self._idle: deque[_Handle] = deque()
        # Two processes that share a socket get each other's responses. A Celery worker forks after it has sent
        # requests, because it runs Django's checks first.
        os.register_at_fork(after_in_child=self._leave_to_the_parent)

    def request(
        self,
        url: str,
        data: bytes | None,
        *,
        connect_timeout_s: float,
        timeout_s: float,
        headers: Sequence[str] = (),
        on_header: OnHeader | None = None,
    ) -> tuple[int, bytes]:
        """POST `data` to the URL, or GET the URL if `data` is None. `timeout_s` bounds the whole call.

        `headers` are lines for this request only. `on_header` is called with each line of the response's head.

        The request must be idempotent. If its connection breaks before any of the response arrives, for example because
        the server is replaced, it is sent once more, over a new connection to what the name then resolves to.

        Returns the response's status and body.

        Raises:
            DeadlineExceededError: the request was sent, and the response is not complete within `timeout_s`.
            RequestFailedError: the connection failed or broke.
        """
        deadline = time.monotonic() + timeout_s
        try:
            return self._send(url, data, connect_timeout_s, timeout_s, headers, on_header)
        except ConnectionBrokenError:
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                raise
            return self._send(url, data, connect_timeout_s, remaining_s, headers, on_header, is_fresh=True)

    def _send(
        self,
        url: str,
        data: bytes | None,
        connect_timeout_s: float,
        timeout_s: float,
        headers: Sequence[str],
        on_header: OnHeader | None,
        *,
        is_fresh: bool = False,
    ) -> tuple[int, bytes]:
        try:
            handle = self._idle.pop()
        except IndexError:
            handle = _Handle(self._new_handle())
        curl = handle.curl
        try:
            curl.setopt(pycurl.URL, _quoted(url))
            curl.setopt(pycurl.FRESH_CONNECT, is_fresh)
            curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_timeout_s * 1000) or 1)
            curl.setopt(pycurl.TIMEOUT_MS, int(timeout_s * 1000) or 1)  # 0 would mean no limit
            set_body(curl, data)
            if headers != handle.headers:
                set_headers(curl, [*self._headers, *headers])
                handle.headers = headers
            if on_header:
                curl.setopt(pycurl.HEADERFUNCTION, on_header)
            body = curl.perform_rb()
            return curl.getinfo(pycurl.RESPONSE_CODE), body
        except pycurl.error as error:
            raise _error_class(curl, error.args[0])(f"{url}: {error}") from error
        finally:
            curl.setopt(pycurl.POSTFIELDS, b"")  # otherwise, the handle would keep the data
            if on_header:
                curl.unsetopt(pycurl.HEADERFUNCTION)
            self._idle.append(handle)

    def _leave_to_the_parent(self) -> None:
        """Forget the parent's handles without freeing them.

        libcurl would wait for the thread that looked up a name, and a fork copies no threads.
        """
        for handle in self._idle:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle.curl))
        self._idle.clear()

    def _new_handle(self) -> pycurl.Curl:
        curl = new_handle(self._headers)
        curl.setopt(pycurl.DNS_CACHE_TIMEOUT, 0)  # a recreated container has another address
        curl.setopt(pycurl.MAXLIFETIME_CONN, CONNECTION_LIFETIME_S)
        curl.setopt(QUICK_EXIT, 1)  # without it, a timeout waits for the lookup to end
        # One system call each for a request with an image and for its response.
        curl.setopt(pycurl.UPLOAD_BUFFERSIZE, 512 * 1024)
        curl.setopt(pycurl.BUFFERSIZE, 128 * 1024)
        return curl


def _error_class(curl: pycurl.Curl, code: int | str) -> type[RequestFailedError]:
    if code == pycurl.E_OPERATION_TIMEDOUT:
        was_sent = curl.getinfo(pycurl.REQUEST_SIZE) > 0  # otherwise, connecting took too long
        return DeadlineExceededError if was_sent else RequestFailedError
    has_response = curl.getinfo(pycurl.HEADER_SIZE) > 0
    return ConnectionBrokenError if code in _BROKEN and not has_response else RequestFailedError


_quoted = functools.lru_cache(requests.utils.requote_uri)  # libcurl accepts only ASCII that needs no quoting
