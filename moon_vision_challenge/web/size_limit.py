"""Refuses bodies that are too large before anything reads them."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from moon_vision_challenge.web.errors import RequestTooLargeError, error_body

GetResponse = Callable[[HttpRequest], HttpResponse]


class RequestSizeLimitMiddleware:
    """Answers 413 to a body above MAX_REQUEST_BODY_BYTES, and 411 to a chunked body that the server has not read."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            return _error(411, "State the body's length in Content-Length.", "length_required")
        # The parsers of jobs limit these bodies, and do not read them into memory.
        if request.path_info != settings.JOBS_PATH and _content_length(request) > settings.MAX_REQUEST_BODY_BYTES:
            error = RequestTooLargeError()
            return _error(error.status_code, str(error.detail), error.default_code)
        return self.get_response(request)


def _content_length(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0  # Django then reads no body


def _error(status: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse(error_body(detail, code), status=status)
