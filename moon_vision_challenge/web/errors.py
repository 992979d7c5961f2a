"""The body of every error, `{"detail", "code"}`, and the errors that more than one place answers with."""

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException


def error_body(detail: str, code: str) -> dict[str, str]:
    """`detail` is a sentence for a person; `code` is for programs and never changes."""
    return {"detail": detail, "code": code}


class RequestTooLargeError(APIException):
    """The body or the image in it exceeds INFERENCE_MAX_IMAGE_BYTES."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "request_too_large"

    def __init__(self) -> None:
        super().__init__(f"The image is too large. At most {settings.INFERENCE_MAX_IMAGE_BYTES:,} bytes are accepted.")
