"""The body of every error, `{"detail", "code"}`, and the errors that more than one module uses."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException, ErrorDetail, ParseError

_MAX_ECHO = 100  # characters of what a client has sent
_MAX_SENTENCE = 1000


def error_body(detail: str, code: str) -> dict[str, str]:
    """Return the body of an error. `detail` is a sentence for a person. `code` is for programs, and never changes."""
    return {"detail": detail, "code": code}


def echo(value: object) -> str:
    """Shorten what a client has sent, to quote it in an error."""
    text = str(value)
    return text if len(text) <= _MAX_ECHO else text[:_MAX_ECHO] + "..."


def shorten(data: Any) -> Any:
    """Shorten each sentence of an error, because the framework's sentences repeat what the client has sent."""
    if isinstance(data, dict):
        return {name: shorten(value) for name, value in data.items()}
    if isinstance(data, list):
        return [shorten(value) for value in data]
    if isinstance(data, str) and len(data) > _MAX_SENTENCE:
        cut = data[:_MAX_SENTENCE] + "..."
        return ErrorDetail(cut, data.code) if isinstance(data, ErrorDetail) else cut
    return data


class MalformedBodyError(ParseError):
    """The body does not match its headers. The client gets the reason."""

    default_code = "malformed_body"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The body is malformed: {reason}")


class UnsupportedEncodingError(APIException):
    """The body's Content-Encoding is not supported."""

    status_code = status.HTTP_415_UNSUPPORTED_MEDIA_TYPE
    default_code = "unsupported_encoding"

    def __init__(self, encoding: str, accepted: Sequence[str]) -> None:
        others = " or ".join(accepted)
        super().__init__(f"Content-Encoding {echo(encoding)} is not supported. Send the body as it is, or in {others}.")


class RequestTooLargeError(APIException):
    """The body or the image in it exceeds INFERENCE_MAX_IMAGE_BYTES."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "request_too_large"

    def __init__(self) -> None:
        super().__init__(f"The image is too large. At most {settings.INFERENCE_MAX_IMAGE_BYTES:,} bytes are accepted.")
