"""Guarded requests with small limits, and the responses that they get."""

from functools import partial

from moon_vision_challenge import http_client

request = partial(http_client.guarded_request, headers={}, deadline_s=60, max_body_bytes=100)
request_anywhere = partial(request, allow_private=True)


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""])
