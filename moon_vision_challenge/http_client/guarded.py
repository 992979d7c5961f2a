"""Sends requests to URLs that clients give, but only to public addresses."""

import os
import socket
import time
from collections.abc import Mapping
from typing import NamedTuple, Self

import pycurl

from moon_vision_challenge.http_client.address_limit import AddressLimit
from moon_vision_challenge.http_client.errors import (
    AddressBusyError,
    DeadlineExceededError,
    RefusedURLError,
    RequestFailedError,
    ResponseTooLargeError,
    TooManyRedirectsError,
)
from moon_vision_challenge.http_client.handle import QUICK_EXIT, new_handle, set_body
from moon_vision_challenge.http_client.url import NOT_PUBLIC, read_url
from moon_vision_challenge.public_addresses import is_public

_SLOW_S = 5  # how long a response may be too slow for the caller


def guarded_request(
    url: str,
    data: bytes | None = None,
    *,
    headers: Mapping[str, str],
    deadline_s: float,
    max_body_bytes: int,
    allow_private: bool = False,
) -> tuple[int, bytes]:
    """POST `data` to a URL that a client gave, or GET the URL. It connects to a public address or not at all.

    The guard checks the very address that the socket connects to, so it does not matter what the name resolves to
    before or after. The connection is new and direct, without a proxy. Redirects are not followed, and no credentials
    are sent. `deadline_s` bounds the whole request, from the name's lookup to the last byte. `max_body_bytes` bounds
    the response's body. With 0, none of it is read, and the call returns after the headers. Returns the response's
    status and body.

    Raises:
        RefusedURLError: the URL cannot be requested, or does not lead to a public address.
        DeadlineExceededError: the response is not complete within `deadline_s`.
        ResponseTooLargeError: the response's body is larger than `max_body_bytes`.
        RequestFailedError: the connection failed or broke.
    """
    response = _send_guarded(
        url, data, headers=headers, deadline_s=deadline_s, max_body_bytes=max_body_bytes, allow_private=allow_private
    )
    return response.status, response.body


def guarded_download(
    url: str,
    *,
    headers: Mapping[str, str],
    deadline_s: float,
    min_bytes_per_s: int,
    max_body_bytes: int,
    max_redirects: int,
    address_limit: AddressLimit,
    allow_private: bool = False,
) -> tuple[int, bytes]:
    """GET a URL that a client gave, and follow its redirects. Each of them is a guarded request.

    `deadline_s` bounds all requests together, `max_body_bytes` the body of each. A response that is slower than
    `min_bytes_per_s` for a few seconds is abandoned. Returns the last response's status and body.

    Raises:
        AddressBusyError: `address_limit` has no place for a connection to any of a host's addresses.
        TooManyRedirectsError: there are more than `max_redirects`.
        RequestFailedError: as in `guarded_request`.
    """
    end = time.monotonic() + deadline_s
    for _ in range(1 + max_redirects):
        response = _send_guarded(
            url,
            None,
            headers=headers,
            deadline_s=max(end - time.monotonic(), 0.001),
            min_bytes_per_s=min_bytes_per_s,
            max_body_bytes=max_body_bytes,
            address_limit=address_limit,
            allow_private=allow_private,
        )
        if not response.redirect_url:
            return response.status, response.body
        url = response.redirect_url
    raise TooManyRedirectsError(f"The URL redirects more than {max_redirects} times.")


class _Response(NamedTuple):
    status: int
    body: bytes
    redirect_url: str
    """Where the response redirects to, as an absolute URL. Empty if nowhere."""


def _send_guarded(
    url: str,
    data: bytes | None,
    *,
    headers: Mapping[str, str],
    deadline_s: float,
    max_body_bytes: int,
    allow_private: bool,
    min_bytes_per_s: int = 0,
    address_limit: AddressLimit | None = None,
) -> _Response:
    target = read_url(url, allow_private=allow_private)
    head = _Head()
    lines = [f"{name}: {value}" for name, value in headers.items()]
    with _Guard(allow_private=allow_private, limit=address_limit) as guard, new_handle(lines) as curl:
        curl.setopt(pycurl.CURLU, target)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, guard.open_socket)
        curl.setopt(pycurl.FRESH_CONNECT, 1)
        curl.setopt(pycurl.FORBID_REUSE, 1)
        curl.setopt(pycurl.TIMEOUT_MS, int(deadline_s * 1000) or 1)
        curl.setopt(pycurl.LOW_SPEED_LIMIT, min_bytes_per_s)  # 0: any speed
        curl.setopt(pycurl.LOW_SPEED_TIME, _SLOW_S)
        curl.setopt(QUICK_EXIT, 1)  # without it, close() waits for a lookup that outlives the deadline
        if max_body_bytes:
            curl.setopt(pycurl.MAXFILESIZE_LARGE, max_body_bytes)
        else:
            curl.setopt(pycurl.HEADERFUNCTION, head.stop_after)
        set_body(curl, data)
        try:
            body = curl.perform_rb()
        except pycurl.error as error:
            if not head.is_complete:
                raise _cause(error, curl, guard, deadline_s) from error
            body = b""
        return _Response(curl.getinfo(pycurl.RESPONSE_CODE), body, curl.getinfo(pycurl.REDIRECT_URL) or "")


class _Guard:
    """Opens libcurl's sockets, but only to public addresses."""

    def __init__(self, *, allow_private: bool, limit: AddressLimit | None = None) -> None:
        self._allow_private = allow_private
        self._limit = limit
        self._sockets: list[socket.socket] = []
        self._taken: list[str] = []
        self._has_refused = False
        self._has_found_busy = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for opened in self._sockets:
            opened.close()
        for address in self._taken:
            self._limit.give_back(address)  # type: ignore[union-attr]  # the limit granted them

    @property
    def refused_all(self) -> bool:
        return self._has_refused and not self._sockets

    @property
    def is_busy(self) -> bool:
        return self._has_found_busy and not self._sockets

    def open_socket(self, _purpose: int, address: pycurl.CurlSockAddr) -> socket.socket | int:
        if not self._allows(address):
            self._has_refused = True
            return pycurl.SOCKET_BAD
        if self._limit and not self._take(str(address.addr[0]), self._limit):
            self._has_found_busy = True
            return pycurl.SOCKET_BAD
        opened = socket.socket(address.family, address.socktype, address.protocol)
        self._sockets.append(opened)  # PycURL uses a duplicate, so this one is ours to close
        return opened

    def _take(self, address: str, limit: AddressLimit) -> bool:
        if limit.take(address):
            self._taken.append(address)
            return True
        return False

    def _allows(self, address: pycurl.CurlSockAddr) -> bool:
        if address.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        return self._allow_private or is_public(str(address.addr[0]))


class _Head:
    """Ends a transfer at the end of the response's headers."""

    def __init__(self) -> None:
        self.is_complete = False
        self._is_interim = False

    def stop_after(self, line: bytes) -> int:
        """Read a header line. libcurl ends the transfer unless this callback returns the length of the line."""
        if line.startswith(b"HTTP/"):
            self._is_interim = line.split()[1].startswith(b"1")
        self.is_complete = not line.strip() and not self._is_interim
        return -1 if self.is_complete else len(line)


def _cause(error: pycurl.error, curl: pycurl.Curl, guard: _Guard, deadline_s: float) -> RequestFailedError:
    code, text = error.args[0], error.args[-1]
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return DeadlineExceededError(f"There is no complete response after {deadline_s:g} s.")
    if code == pycurl.E_FILESIZE_EXCEEDED:
        return ResponseTooLargeError("The response is too large.")
    if guard.is_busy:
        return AddressBusyError("There are too many connections to this address.")
    if guard.refused_all:
        return RefusedURLError(NOT_PUBLIC)
    number = curl.getinfo(pycurl.OS_ERRNO)
    return RequestFailedError(f"{text} ({os.strerror(number)})" if number else text)
