"""Parses request bodies into fields. Each parser replaces one of DRF's, for the reason in its docstring."""

import codecs
import json
import quopri
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, cast

import orjson
from django.utils.datastructures import MultiValueDict
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from rest_framework.parsers import BaseParser

from moon_vision_challenge.web.base64_text import decode_base64
from moon_vision_challenge.web.bodies import encoding_of, read_body
from moon_vision_challenge.web.errors import MalformedBodyError, echo

_MAX_PARTS = 20
_MAX_CHARSET_BYTES = 1000
"""Text in a charset other than UTF-8 must be a short field, because some of Python's codecs take quadratic time."""
_FILENAME = re.compile(r";\s*filename\*?\s*=", re.IGNORECASE)

# The library's message → ours.
_REASONS = {
    "Empty boundary": "its Content-Type has no boundary. Let your HTTP client set this header itself.",
    "Invalid characters in boundary": "the boundary in its Content-Type has a line break.",
    "Maximum segment count exceeded": f"the form has more than {_MAX_PARTS} fields.",
    "Maximum segment header count exceeded": "a part of the form has more than 8 headers.",
    "Maximum segment header length exceeded": "a part of the form has a header of more than 4,000 bytes.",
    "Missing Content-Disposition segment header": "a part of the form has no Content-Disposition.",
    "Invalid Content-Disposition segment header: Wrong type": (
        "a part of the form has a Content-Disposition other than form-data."
    ),
    "Invalid line break after first boundary": "its lines end in LF alone. End them in CRLF.",
    "Invalid line break in segment header": "its lines end in LF alone. End them in CRLF.",
    "Malformed segment header": "a part of the form has a header line without a colon.",
    "Unexpected byte after first boundary": "something other than CRLF follows the first boundary.",
    "Unexpected byte in front of first boundary": "the first boundary does not begin a line.",
    "Unexpected bytes after boundary": "something other than CRLF follows a boundary.",
    "Unexpected end of multipart stream (parser closed)": "the form is cut short: its last boundary is missing.",
}


class FormDataParser(BaseParser):
    """Parses multipart/form-data in memory with the `multipart` library. Django's parser takes four times the CPU time.

    The web server has already limited the body. With another server, RequestSizeLimitMiddleware limits it.
    """

    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> "MultiValueDict[str, Any]":
        """Return text fields as str, and files as bytes. Raises MalformedBodyError, and what `read_body` raises."""
        content_type = media_type or ""
        boundary = parse_options_header(content_type)[1].get("boundary", "").encode("latin-1", "replace")
        fields: MultiValueDict[str, Any] = MultiValueDict()
        body = read_body(stream, encoding_of(parser_context))
        try:
            # Latin-1 has a character for every byte, so a file name in any encoding is accepted.
            with PushMultipartParser(boundary, max_segment_count=_MAX_PARTS, header_charset="latin-1") as parser:
                chunks: list[bytes] = []
                segment: MultipartSegment | None = None
                for event in parser.parse(body):
                    if isinstance(event, MultipartSegment):
                        segment, chunks = event, []
                    elif event:
                        chunks.append(bytes(event))
                    elif segment and (chunks or segment.filename != ""):  # otherwise the file field was left empty
                        fields.appendlist(segment.name or "", _value(segment, b"".join(chunks)))
        except (MultipartError, UnicodeError) as error:
            raise MalformedBodyError(_reason(error, body, boundary, content_type)) from error
        return fields


def _reason(error: Exception, body: bytes, boundary: bytes, content_type: str) -> str:
    text = str(error.args[0]) if error.args else ""
    if not body:
        return "it is empty."
    if not boundary and re.search(r"boundary\s*=\s*[^\s;]", content_type, re.IGNORECASE):
        return "the boundary in its Content-Type is not valid. Use ASCII letters, digits and hyphens."
    if boundary and b"--" + boundary not in body:
        return "the boundary that its Content-Type names is not in it."
    return _REASONS.get(text) or f"the form is not valid multipart/form-data ({echo(text).lower()})."


def _value(segment: MultipartSegment, content: bytes) -> str | bytes:
    if encoding := segment.header("Content-Transfer-Encoding"):
        content = _decode_transfer(content, encoding)
    media_type = segment.content_type or "text/plain"
    if media_type.startswith("multipart/"):
        raise MalformedBodyError("a part of the form is a form itself. Send each file as a part with its field's name.")
    if segment.filename is None and not _FILENAME.search(segment["Content-Disposition"]):
        text = _text(content, media_type, segment.charset or "utf-8")
        if text is not None:
            return text
    return content


def _text(content: bytes, media_type: str, charset: str) -> str | None:
    """Return the text, or None for a file.

    Some clients give a file's part a type but no name (Retrofit, .NET's ByteArrayContent).
    """
    if media_type == "application/json":  # Retrofit's converters send every field this way
        return _json_text(content)
    if not media_type.startswith("text/"):
        return None
    try:
        return _decode(content, charset if len(content) <= _MAX_CHARSET_BYTES else "utf-8")
    except (ValueError, TypeError):
        return None


def _decode(content: bytes, charset: str) -> str:
    try:
        return content.decode(charset)
    except (LookupError, ValueError):  # an unknown charset, or the wrong one
        return content.decode()


def _json_text(content: bytes) -> str:
    if content.lstrip().startswith(b'"'):  # other values are not parsed: they can take many times their bytes in memory
        with suppress(orjson.JSONDecodeError):
            return cast("str", orjson.loads(content))
    return content.decode(errors="replace")


def _decode_transfer(content: bytes, encoding: str) -> bytes:
    """Decode Content-Transfer-Encoding, which RFC 7578 deprecates, but which some clients still send."""
    match encoding.strip().lower():
        case "7bit" | "8bit" | "binary":
            return content
        case "base64":
            try:
                return decode_base64(content.decode("ascii"))
            except ValueError as error:
                raise MalformedBodyError("a part with Content-Transfer-Encoding base64 is not base64.") from error
        case "quoted-printable":
            return quopri.decodestring(content)
    raise MalformedBodyError(f"a part has the unknown Content-Transfer-Encoding {echo(encoding)}.")


_MAX_JSON_VALUES = 10_000
_MAX_JSON_DEPTH = 8


class ORJSONParser(BaseParser):
    """Parses JSON with orjson. DRF's parser recurses, so a body of a hundred thousand "[" would cause a 500."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Raises MalformedBodyError, and what `read_body` raises."""
        body = read_body(stream, encoding_of(parser_context)).removeprefix(codecs.BOM_UTF8)
        # Checked before parsing: each value takes many times its bytes in memory. Base64 has no brackets or commas.
        brackets = body.count(b"[") + body.count(b"{")
        if brackets + body.count(b",") > _MAX_JSON_VALUES:
            raise MalformedBodyError(f"its JSON has more than {_MAX_JSON_VALUES:,} values.")
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MalformedBodyError(_json_reason(body, error)) from error
        if brackets > _MAX_JSON_DEPTH and _is_deeper(value, _MAX_JSON_DEPTH):
            raise MalformedBodyError(f"its JSON is nested more than {_MAX_JSON_DEPTH} levels deep.")
        return value


def _json_reason(body: bytes, error: orjson.JSONDecodeError) -> str:
    if not body.strip():
        return "it is empty."
    if (encoding := json.detect_encoding(body)) not in ("utf-8", "utf-8-sig"):
        return f"it is not UTF-8, but {encoding[:6].upper()}. Send JSON as UTF-8."
    try:
        body.decode()
    except UnicodeDecodeError as not_utf8:
        return f"it is not UTF-8 (byte {not_utf8.start + 1:,}). Send JSON as UTF-8."
    return f"it is not valid JSON (line {error.lineno:,}, column {error.colno:,}: {echo(error.msg)})."


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth == 0 or any(_is_deeper(each, depth - 1) for each in inner)
