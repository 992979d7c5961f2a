"""Counts requests, gives each one an id, and writes the access log."""

import logging
import os
import re
import time
from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from moon_vision_challenge.accounts.caller import Caller
from moon_vision_challenge.observability import log_context, metrics, tracing
from moon_vision_challenge.observability.span import Kind, Span
from moon_vision_challenge.observability.traceparent import parse

access_log = logging.getLogger("moon_vision_challenge.access")

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"})
_LOGGED_PATH_CHARS = 200


class ObservabilityMiddleware:
    """The outermost middleware, so that it sees every answer.

    It keeps a valid X-Request-ID, and continues a valid traceparent.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        begin = time.perf_counter()
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if _SANE_ID.fullmatch(given) else os.urandom(16).hex()
        request.request_id = request_id  # type: ignore[attr-defined]  # for log lines that Django writes later
        traceparent = parse(request.META.get("HTTP_TRACEPARENT", ""))
        with (
            log_context.about(request_id=request_id, traceparent=traceparent),
            tracing.span("request", Kind.SERVER) as span,
        ):
            response = self._get_response(request)
            seconds = time.perf_counter() - begin
            method = request.method if request.method in _METHODS else "OTHER"
            status = str(response.status_code)
            route = route_of(request)
            metrics.child(metrics.request_seconds, route, method, status).observe(seconds)
            if (size := request.META.get("CONTENT_LENGTH", "")).isdecimal():
                metrics.child(metrics.upload_bytes, route).observe(int(size))
            if tracing.IS_ON:
                _describe(span, method, route, response.status_code)
            if settings.ACCESS_LOG:
                _log(request, response, seconds)
        response["X-Request-ID"] = request_id
        return response


def _log(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    path = request.path[:_LOGGED_PATH_CHARS]
    ms = round(1000 * seconds, 1)
    caller: Caller | None = getattr(request, "caller", None)  # none if the request was refused, or anyone may make it
    fields = {"method": request.method, "path": path, "status": response.status_code, "ms": ms}
    if caller:
        fields |= {"token": caller.token_name, "owner_id": caller.owner_id}
    token = f" by {caller.token_name}" if caller else ""
    access_log.info("%s %s %s %.1f ms%s", request.method, path, response.status_code, ms, token, extra=fields)


def _describe(span: Span, method: str, route: str, status: int) -> None:
    span.rename(f"{method} {route}")
    span.note(http__request__method=method, http__route=route, http__response__status_code=status)
    if status >= 500:
        span.fail(str(status))


def route_of(request: HttpRequest) -> str:
    """Return the pattern in the URL configuration, such as `/api/v1/inferences/<pk>/`. A client cannot invent one."""
    return _readable(request.resolver_match.route) if request.resolver_match else "unknown"


@cache
def _readable(route: str) -> str:
    return simplify_regex(route)
