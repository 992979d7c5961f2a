"""Reads the body of a request, according to its Content-Encoding."""

import io
import zlib
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings

from moon_vision_challenge.inflate import DEFLATE, GZIP, Inflate, TooManyMembersError
from moon_vision_challenge.web.errors import MalformedBodyError, RequestTooLargeError, UnsupportedEncodingError

_WINDOW_BITS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": DEFLATE}
_MAX_MEMBERS = 1000


def read_body(stream: IO[bytes], content_encoding: str = "") -> bytes:
    """Return the bytes of the body, decompressed if necessary to at most MAX_REQUEST_BODY_BYTES.

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
    """Return the Content-Encoding of the request that DRF passes to a parser."""
    request = (parser_context or {}).get("request")
    return request.META.get("HTTP_CONTENT_ENCODING", "") if request else ""


def _inflate(body: bytes, encoding: str) -> bytes:
    stream = Inflate(io.BytesIO(body), wbits=_WINDOW_BITS[encoding], max_members=_MAX_MEMBERS)
    try:
        inflated = stream.read(settings.MAX_REQUEST_BODY_BYTES + 1)
    except zlib.error as error:
        raise MalformedBodyError(f"it is not {encoding}, which its Content-Encoding names.") from error
    except EOFError:
        raise MalformedBodyError(f"its {encoding} data are cut short.") from None
    except TooManyMembersError:
        raise MalformedBodyError(f"it has more than {_MAX_MEMBERS:,} {encoding} members.") from None
    if len(inflated) > settings.MAX_REQUEST_BODY_BYTES:
        raise RequestTooLargeError
    return inflated
