"""Errors outside the views: JSON for the API, Django's own pages elsewhere."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from moon_vision_challenge.web.errors import error_body


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _error(status: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse(error_body(detail, code), status=status)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if _is_api(request):
        return _error(400, "The request is malformed.", "bad_request")
    return defaults.bad_request(request, exception or Exception())


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if _is_api(request):
        return _error(403, "You do not have permission to do this.", "permission_denied")
    return defaults.permission_denied(request, exception or Exception())


@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None, **_: Any) -> HttpResponse:
    if _is_api(request):
        return _error(404, "This address does not exist. Addresses of the API end with a slash.", "not_found")
    return defaults.page_not_found(request, exception or Exception())


def server_error(request: HttpRequest) -> HttpResponse:
    if _is_api(request):
        return _error(500, "Internal error. It has been logged.", "internal_error")
    return defaults.server_error(request)
