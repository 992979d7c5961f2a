"""A guarded request is bounded in time and bytes."""

import gzip
import socket
import time
from typing import Any

import pycurl
import pytest

from moon_vision_challenge.classification.tests.waiting import LIMIT_S
from moon_vision_challenge.http_client import (
    DeadlineExceededError,
    Pool,
    RequestFailedError,
    ResponseTooLargeError,
)
from moon_vision_challenge.tests.guarded import head, request_anywhere
from moon_vision_challenge.tests.peer import StartPeer


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


GZIPPED = gzip.compress(bytes(10_000_000))


@pytest.mark.parametrize(
    ("response", "endless"),
    [
        (head(b"Content-Length: 101"), b""),
        (head(b"Content-Length: 99999999999999"), b""),
        (head() + b"x" * 101, b""),
        (head(), b"x" * 10_000),
        (head(b"Transfer-Encoding: chunked") + chunk(b"x" * 101), b""),
        (head(b"Transfer-Encoding: chunked"), chunk(b"x")),
    ],
    ids=["told", "told to be huge", "until closed", "endless", "chunked", "endless chunks"],
)
def test_a_body_over_the_limit_is_given_up(start_peer: StartPeer, response: bytes, endless: bytes) -> None:
    peer = start_peer(response, endless=endless, holds=True)
    with pytest.raises(ResponseTooLargeError):
        request_anywhere(peer.url)
    assert peer.hung_up.wait(LIMIT_S)


@pytest.mark.parametrize("response", [head(b"Content-Length: 100"), head()], ids=["told", "until closed"])
def test_a_body_at_the_limit_is_returned(start_peer: StartPeer, response: bytes) -> None:
    assert request_anywhere(start_peer(response + b"x" * 100).url)[1] == b"x" * 100


def test_a_compressed_body_is_not_unpacked(start_peer: StartPeer) -> None:
    peer = start_peer(head(b"Content-Encoding: gzip", b"Content-Length: %d" % len(GZIPPED)) + GZIPPED)
    assert request_anywhere(peer.url, max_body_bytes=len(GZIPPED))[1] == GZIPPED
    peer = start_peer(head(b"Transfer-Encoding: gzip, chunked") + chunk(GZIPPED) + chunk(b""))
    with pytest.raises(RequestFailedError):
        request_anywhere(peer.url, max_body_bytes=len(GZIPPED))


@pytest.mark.parametrize(
    ("response", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["headers", "one header", "interim responses"],
)
@pytest.mark.parametrize("max_body_bytes", [0, 100])
def test_endless_headers_are_given_up(
    start_peer: StartPeer, response: bytes, endless: bytes, max_body_bytes: int
) -> None:
    peer = start_peer(response, endless=endless)
    with pytest.raises(RequestFailedError):
        request_anywhere(peer.url, max_body_bytes=max_body_bytes)
    assert peer.hung_up.wait(LIMIT_S)


@pytest.mark.parametrize(
    "response",
    [
        head(b"Content-Length: 10"),
        head(b"Content-Length: 1000000") + b"x",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + head(b"Content-Length: 1"),
    ],
    ids=["no body yet", "some of the body", "interim responses"],
)
def test_without_a_body_a_request_ends_after_the_headers(start_peer: StartPeer, response: bytes) -> None:
    peer = start_peer(response, holds=True)
    assert request_anywhere(peer.url, max_body_bytes=0) == (200, b"")
    assert peer.hung_up.wait(LIMIT_S)


@pytest.mark.parametrize("response", [b"", b"garbage\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_what_is_not_a_response_is_a_failure(start_peer: StartPeer, response: bytes) -> None:
    with pytest.raises(RequestFailedError):
        request_anywhere(start_peer(response).url, max_body_bytes=0)


@pytest.mark.parametrize("max_body_bytes", [0, 100])
@pytest.mark.parametrize("response", [b"", b"HTTP/1.1 200 OK\r\nX: "], ids=["silent", "in the headers"])
def test_the_deadline_ends_a_response_that_stalls(start_peer: StartPeer, response: bytes, max_body_bytes: int) -> None:
    peer = start_peer(response, holds=True)
    _is_over_after_the_deadline(peer.url, max_body_bytes=max_body_bytes)
    assert peer.hung_up.wait(LIMIT_S)


def test_the_deadline_ends_a_body_that_stalls(start_peer: StartPeer) -> None:
    _is_over_after_the_deadline(start_peer(head(b"Content-Length: 10") + b"x", holds=True).url)


def test_the_deadline_ends_a_tls_handshake_that_stalls(start_peer: StartPeer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _is_over_after_the_deadline(f"https://127.0.0.1:{silent.getsockname()[1]}/")


def test_the_deadline_ends_an_upload_that_is_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _is_over_after_the_deadline(f"http://127.0.0.1:{silent.getsockname()[1]}/", data=bytes(50_000_000))


def test_the_deadline_ends_a_lookup_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    new_handle = pycurl.Curl
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def asks_the_silent() -> pycurl.Curl:
            curl = new_handle()
            curl.setopt(pycurl.DOH_URL, f"https://127.0.0.1:{silent.getsockname()[1]}/")
            return curl

        monkeypatch.setattr(pycurl, "Curl", asks_the_silent)
        _is_over_after_the_deadline("http://slow.example/")


def _is_over_after_the_deadline(url: str, **options: Any) -> None:
    begin = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"0\.3 s"):
        request_anywhere(url, deadline_s=0.3, **options)
    assert 0.2 < time.monotonic() - begin < 30  # the other side never continues


def test_a_timeout_below_a_millisecond_is_not_endless(start_peer: StartPeer) -> None:
    peer = start_peer(b"", holds=True)
    with pytest.raises(RequestFailedError):
        Pool([]).request(peer.url, None, connect_timeout_s=1, timeout_s=0.0001)
    with pytest.raises(DeadlineExceededError):
        request_anywhere(peer.url, deadline_s=0.0001)
