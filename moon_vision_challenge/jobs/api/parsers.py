"""Parses request bodies into an Upload on disk. DRF's parsers, and ours for single images, read a body into memory."""

from collections.abc import Mapping
from typing import IO, Any

from multipart import parse_options_header
from rest_framework.parsers import BaseParser

from moon_vision_challenge.jobs.uploads import Upload
from moon_vision_challenge.web.bodies import encoding_of
from moon_vision_challenge.web.errors import UnsupportedEncodingError

BODY_FILE = "moon_vision.body_file"
"""The key in the environ under which the web server names the file that holds the body (http_server/request.py)."""


class ArchiveParser(BaseParser):
    """The body is the archive, and the other fields are in the query. The first bytes show the format."""

    media_type = "application/octet-stream"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return an Upload. Raises UnsupportedEncodingError, UploadTooLargeError."""
        if (encoding := encoding_of(parser_context).strip().lower()) not in ("", "identity"):
            raise UnsupportedEncodingError(encoding, ["a compressed archive"])
        meta = parser_context["request"].META if parser_context else {}
        return Upload(meta.get(BODY_FILE), stream, self.boundary_of(media_type or ""))

    def boundary_of(self, content_type: str) -> str | None:  # noqa: ARG002
        return None


class ZipParser(ArchiveParser):
    media_type = "application/zip"


class TarParser(ArchiveParser):
    media_type = "application/x-tar"


class GzipParser(ArchiveParser):
    media_type = "application/gzip"


class FormParser(ArchiveParser):
    """A form with fields, and with files in `image` or one file in `archive`."""

    media_type = "multipart/form-data"

    def boundary_of(self, content_type: str) -> str:
        return str(parse_options_header(content_type)[1].get("boundary", ""))


PARSERS = (FormParser, ZipParser, TarParser, GzipParser, ArchiveParser)
