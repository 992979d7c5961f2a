"""Reads the body of a request, according to its Content-Encoding."""

import zlib
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings

from moon_vision_challenge.web.errors import MalformedBodyError, RequestTooLargeError, UnsupportedEncodingError

# zlib's wbits. A deflate body has zlib's header (RFC 9110, 8.4.1.2).
_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_MAX_MEMBERS = 1000
_WINDOW_BYTES = 65_536
"""What is decompressed at once. After each member, zlib copies the rest of what it was given."""


def read_body(stream: IO[bytes], content_encoding: str = "") -> bytes:
    """The bytes of the body, decompressed if need be: at most MAX_REQUEST_BODY_BYTES.

    Raises UnsupportedEncodingError, MalformedBodyError, RequestTooLargeError.
    """
    body = stream.read()
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOW_BITS:
        raise UnsupportedEncodingError(encoding, ["gzip", "deflate"])
    return _inflate(body, encoding)


def encoding_of(parser_context: Mapping[str, Any] | None) -> str:
    """The Content-Encoding of the request that DRF gives to a parser."""
    request = (parser_context or {}).get("request")
    return request.META.get("HTTP_CONTENT_ENCODING", "") if request else ""


def _inflate(body: bytes, encoding: str) -> bytes:
    """gzip bodies may have several members."""
    parts: list[bytes] = []
    room = settings.MAX_REQUEST_BODY_BYTES + 1
    position = members = 0
    while position < len(body):
        members += 1
        if members > _MAX_MEMBERS:
            raise MalformedBodyError(f"it has more than {_MAX_MEMBERS:,} {encoding} members.")
        inflater = zlib.decompressobj(_WINDOW_BITS[encoding])
        while not inflater.eof:
            window = body[position : position + _WINDOW_BYTES]
            if not window:
                raise MalformedBodyError(f"its {encoding} data are cut short.")
            try:
                parts.append(inflater.decompress(window, room))
            except zlib.error as error:
                raise MalformedBodyError(f"it is not {encoding}, which its Content-Encoding names.") from error
            room -= len(parts[-1])
            if room <= 0:
                raise RequestTooLargeError
            position += len(window) - len(inflater.unused_data)
    return b"".join(parts)
