"""Bodies of requests → their fields. Each parser stands in for one of DRF's; why, it says itself."""

import re
from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.datastructures import MultiValueDict
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

_MAX_PARTS = 20
_FILENAME = re.compile(r";\s*filename\*?\s*=", re.IGNORECASE)


class FormDataParser(BaseParser):
    """multipart/form-data by the `multipart` library, in memory: a quarter of the CPU time of Django's parser.

    RequestSizeLimitMiddleware has limited the body before.
    """

    media_type = "multipart/form-data"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> "MultiValueDict[str, Any]":
        """Text fields as str; what has a file name as an UploadedFile. Raises ParseError."""
        boundary = parse_options_header(media_type or "")[1].get("boundary", "")
        fields: MultiValueDict[str, Any] = MultiValueDict()
        try:
            with PushMultipartParser(boundary, max_segment_count=_MAX_PARTS) as parser:
                chunks: list[bytes] = []
                segment: MultipartSegment | None = None
                for event in parser.parse(stream.read()):
                    if isinstance(event, MultipartSegment):
                        segment, chunks = event, []
                    elif event:
                        chunks.append(bytes(event))
                    elif segment and segment.filename != "":  # a form's file field that was left empty
                        fields.appendlist(segment.name or "", _value(segment, b"".join(chunks)))
        except MultipartError as error:
            raise ParseError(f"Malformed multipart body: {error}") from error
        return fields


def _value(segment: MultipartSegment, content: bytes) -> str | SimpleUploadedFile:
    if segment.filename is None and not _FILENAME.search(segment["Content-Disposition"]):
        return content.decode(errors="replace")
    return SimpleUploadedFile(segment.filename or "file", content)


class ORJSONParser(BaseParser):
    """JSON by orjson. DRF's own parser recurses: a body of a hundred thousand "[" would be a 500."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return orjson.loads(stream.read())
        except orjson.JSONDecodeError as error:
            raise ParseError from error
