"""A request body that is the image itself. The other fields are in the query."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from moon_vision_challenge.web.bodies import encoding_of, read_body

IMAGE_FIELD = "image"


class ImageBodyParser(BaseParser):
    """`Content-Type: image/jpeg`, or any other image: cheaper than multipart, which must be searched for its end.

    The bytes determine the decoder, not the type, as in the other parsers.
    """

    media_type = "image/*"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,  # noqa: ARG002
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the body under "image", as bytes, and the query parameters. Raises what `read_body` raises."""
        query = parser_context["request"].query_params.dict() if parser_context else {}
        return {**query, IMAGE_FIELD: read_body(stream, encoding_of(parser_context))}


class BinaryBodyParser(ImageBodyParser):
    """`Content-Type: application/octet-stream`, from clients that do not know the type of a file."""

    media_type = "application/octet-stream"


def read_fields(request: Request) -> Any:
    """Return the request's fields. DRF calls no parser for an empty body, so this adds an empty image."""
    if request.data or not _is_image(request.content_type):
        return request.data
    return {**request.query_params.dict(), IMAGE_FIELD: b""}


def _is_image(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type.startswith("image/") or media_type == BinaryBodyParser.media_type
