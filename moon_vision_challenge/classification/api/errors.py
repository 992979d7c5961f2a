"""Turns exceptions into responses, always in JSON and never with the exception's own text."""

import logging
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http.request import UnreadablePostError
from rest_framework import status
from rest_framework.exceptions import ErrorDetail, NotFound, ParseError, UnsupportedMediaType, ValidationError
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from moon_vision_challenge.classification import exceptions
from moon_vision_challenge.classification.api.serializers import image_source
from moon_vision_challenge.web.errors import MalformedBodyError, echo, error_body, shorten

logger = logging.getLogger(__name__)

_STATUS: dict[type, int] = {
    exceptions.ClassificationError: status.HTTP_502_BAD_GATEWAY,  # a cause that a classificator defines
    exceptions.IdempotencyConflictError: status.HTTP_422_UNPROCESSABLE_ENTITY,
    exceptions.InferenceNotPendingError: status.HTTP_409_CONFLICT,
    exceptions.InferenceInProgressError: status.HTTP_409_CONFLICT,
    exceptions.UnknownModelTypeError: status.HTTP_400_BAD_REQUEST,
    exceptions.UnknownVersionLabelError: status.HTTP_400_BAD_REQUEST,
    exceptions.VersionNotSelectableError: status.HTTP_400_BAD_REQUEST,
    exceptions.QueueFullError: status.HTTP_503_SERVICE_UNAVAILABLE,
    exceptions.InvalidPredictionError: status.HTTP_502_BAD_GATEWAY,
    exceptions.ImageFetchBusyError: status.HTTP_503_SERVICE_UNAVAILABLE,
    exceptions.DecoderBusyError: status.HTTP_503_SERVICE_UNAVAILABLE,
    exceptions.ModelServerUnavailableError: status.HTTP_503_SERVICE_UNAVAILABLE,
    exceptions.ModelNotAvailableError: status.HTTP_503_SERVICE_UNAVAILABLE,
    exceptions.StorageUnavailableError: status.HTTP_503_SERVICE_UNAVAILABLE,
    exceptions.ModelServerTimeoutError: status.HTTP_504_GATEWAY_TIMEOUT,
}

_RETRY_AFTER_S = 5
_UNSUPPORTED = (
    "The Content-Type {} is not supported. Send multipart/form-data, application/json with the image in base64, "
    "or the image alone as image/jpeg, image/png, ... or application/octet-stream."
)


def status_of(error: exceptions.ClassificationError) -> int:
    """Return the status of the closest class in the table. A classificator's own subclass has its parent's status."""
    return next(_STATUS[cause] for cause in type(error).__mro__ if cause in _STATUS)


def explain_media_type(content_type: str) -> str:
    return _UNSUPPORTED.format(echo(content_type or "(missing)"))


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER. Returns None for an internal error, which Django logs and answers with 500."""
    match exc:
        case exceptions.InvalidImageError():
            logger.info("invalid image: %s", exc)
            exc = ValidationError({image_source(context["request"].data): [exc.detail]})
        case exceptions.ClassificationError():
            logger.warning("%s: %s", type(exc).__name__, exc)
            return _error(status_of(exc), exc.detail, exc.code, retry_after_s=exc.retry_after_s)
        case OperationalError() | InterfaceError():
            logger.error("the database is not available: %s", exc)
            detail = "The database is not available. Try again later."
            return _error(status.HTTP_503_SERVICE_UNAVAILABLE, detail, "database_unavailable")
        case ObjectDoesNotExist():  # another request has deleted it since this one found it
            exc = NotFound()
        case UnsupportedMediaType():
            exc.detail = ErrorDetail(explain_media_type(context["request"].content_type), "unsupported_media_type")
        case MalformedBodyError():
            logger.info("%s", exc)
        # Too many fields or files, or the client disconnected before the end of the body.
        case ParseError() | SuspiciousOperation() | UnreadablePostError():
            logger.info("malformed body: %r", exc.__cause__ or exc)
            detail = "The body is malformed. It does not match its Content-Type."
            return _error(status.HTTP_400_BAD_REQUEST, detail, "malformed_body")
    response = drf_exception_handler(exc, context)
    if response is None:
        return None
    if isinstance(response.data, dict) and isinstance(told := response.data.get("detail"), ErrorDetail):
        response.data["code"] = told.code
    response.data = shorten(response.data)
    return response


def _error(status_code: int, detail: str, code: str, *, retry_after_s: int = _RETRY_AFTER_S) -> Response:
    headers = {"Retry-After": str(retry_after_s)} if status_code == status.HTTP_503_SERVICE_UNAVAILABLE else None
    return Response(error_body(detail, code), status=status_code, headers=headers)
