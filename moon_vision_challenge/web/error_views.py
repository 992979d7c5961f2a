"""Responses to errors outside the views: JSON, and Django's own pages in the admin."""

from typing import Any

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from moon_vision_challenge.accounts.access import PUBLIC, access
from moon_vision_challenge.web.errors import error_body


def _is_admin(request: HttpRequest) -> bool:
    return request.path.startswith("/admin/")


def _error(status: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse(error_body(detail, code), status=status)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if isinstance(exception, DisallowedHost):
        detail = "This service does not answer to this Host. Its operator can add the name to DJANGO_ALLOWED_HOSTS."
        return _error(400, detail, "bad_request")
    if _is_admin(request):
        return defaults.bad_request(request, exception or Exception())
    return _error(400, "The request is malformed.", "bad_request")


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if _is_admin(request):
        return defaults.permission_denied(request, exception or Exception())
    return _error(403, "You do not have permission to do this.", "permission_denied")


@access(PUBLIC)
@csrf_exempt
def not_found(request: HttpRequest, exception: Exception | None = None, **_: Any) -> HttpResponseBase:
    if _is_admin(request):
        return defaults.page_not_found(request, exception or Exception())
    return _error(404, "This address does not exist. Addresses of the API end with a slash.", "not_found")


def server_error(request: HttpRequest) -> HttpResponse:
    if _is_admin(request):
        return defaults.server_error(request)
    return _error(500, "Internal error. It has been logged.", "internal_error")
