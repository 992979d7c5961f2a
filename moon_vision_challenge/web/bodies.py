"""Reads the body of a request, according to its Content-Encoding."""

import zlib
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings

from moon_vision_challenge.web.errors import MalformedBodyError, RequestTooLargeError, UnsupportedEncodingError

# zlib's wbits. A deflate body has zlib's header (RFC 9110, 8.4.1.2).
_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


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
    parts, size = [], 0
    while body:  # gzip bodies may have several members
        inflater = zlib.decompressobj(_WINDOW_BITS[encoding])
        try:
            part = inflater.decompress(body, settings.MAX_REQUEST_BODY_BYTES + 1 - size)
        except zlib.error as error:
            raise MalformedBodyError(f"it is not {encoding}, which its Content-Encoding names.") from error
        parts.append(part)
        size += len(part)
        if size > settings.MAX_REQUEST_BODY_BYTES:
            raise RequestTooLargeError
        if not inflater.eof:
            raise MalformedBodyError(f"its {encoding} data are cut short.")
        body = inflater.unused_data
    return b"".join(parts)
