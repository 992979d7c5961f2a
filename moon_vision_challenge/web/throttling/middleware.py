"""Refuses requests above a limit, and reports to every client of the API what it has left."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from rest_framework.exceptions import Throttled
from rest_framework.request import Request

from moon_vision_challenge.accounts.caller import caller_of
from moon_vision_challenge.web.client_address import client_address
from moon_vision_challenge.web.errors import error_body
from moon_vision_challenge.web.gateway_watch import watch
from moon_vision_challenge.web.throttling import store
from moon_vision_challenge.web.throttling.fields import add_fields
from moon_vision_challenge.web.throttling.policies import (
    Scope,
    buckets_of,
    concurrency_of,
    fetch_buckets,
    login_buckets,
    quotas_of,
)
from moon_vision_challenge.web.throttling.store import Bucket, Decision, LimitsUnavailableError

_API, _MEDIA, _LOGIN = "/api/", "/media/", "/admin/login/"
_UNCOUNTED = Decision(is_allowed=True, retry_after_s=0, states=())
_RETRY_AFTER_S = 5


class LimitsMiddleware:
    """Runs after AccessMiddleware, which finds the caller. Requests of unknown callers are counted by address."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        decision = decision_of(request)
        if decision and decision.is_allowed and _is_login(request) and response.status_code == 302:
            store.forget(_login_buckets(request))
        if decision is None and response.status_code in (401, 403, 404):  # no view was called
            response = _take(request, Scope.READ) or response
            decision = decision_of(request)
        if decision is not None:
            store.release(decision)
            if request.path_info.startswith(_API):
                add_fields(response, decision)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        scope = _scope_of(request, view)
        return _take(request, scope) if scope else None


def decision_of(request: HttpRequest) -> Decision | None:
    """Return the decision about this request, or None if it has not been counted."""
    return getattr(request, "limits", None)


def charge(request: Request, *, images: int = 0, stored_bytes: int) -> None:
    """Charge the owner's quotas for what is known to be stored only after the body has been read.

    A request to create rows has already paid for one image, and for the length of its body.

    Raises rest_framework's Throttled.
    """
    lacking = max(0, stored_bytes - _body_bytes(request._request))
    quotas = quotas_of(caller_of(request), images=images, stored_bytes=lacking)
    _check(_take_more([quota for quota in quotas if quota.cost]))


def charge_fetch(request: Request) -> None:
    """Count a fetch for `image_url`. The response also reports what is left of these buckets.

    Raises rest_framework's Throttled.
    """
    decision = _take_more(fetch_buckets(caller_of(request), client_address(request.META)))
    counted = decision_of(request._request) or _UNCOUNTED
    request._request.limits = counted._replace(states=[*counted.states, *decision.states])  # type: ignore[attr-defined]
    _check(decision)


def _take_more(buckets: list[Bucket]) -> Decision:
    """Take more for a request that was let through, possibly while the limits were unavailable."""
    try:
        return store.take(buckets)
    except LimitsUnavailableError:
        return _UNCOUNTED


def _check(decision: Decision) -> None:
    if not decision.is_allowed:
        raise Throttled(wait=decision.retry_after_s)


def _scope_of(request: HttpRequest, view: Callable[..., Any]) -> Scope | None:
    path = request.path_info
    if path.startswith(_API):
        creates = request.method == "POST" and getattr(view, "actions", {}).get("post") == "create"
        return getattr(view, "cls", None).rate_scope if creates else Scope.READ  # type: ignore[union-attr]
    if path.startswith(_MEDIA):
        return Scope.MEDIA
    return Scope.LOGIN if _is_login(request) else None


def _is_login(request: HttpRequest) -> bool:
    return request.path_info == _LOGIN and request.method == "POST"


def _login_buckets(request: HttpRequest) -> list[Bucket]:
    return login_buckets(client_address(request.META), request.POST.get("username", ""))


def _take(request: HttpRequest, scope: Scope) -> HttpResponse | None:
    """Count the request, and return a response if it is refused."""
    caller, address = caller_of(request), client_address(request.META)
    watch.note(address)
    buckets = buckets_of(scope, caller, address, stored_bytes=_body_bytes(request))
    if scope is Scope.LOGIN:
        buckets += _login_buckets(request)
    try:
        decision = store.take(buckets, concurrency_of(caller, address))
    except LimitsUnavailableError:
        request.limits = decision = _UNCOUNTED  # type: ignore[attr-defined]
        if settings.API_LIMITS_FAIL_CLOSED:
            detail = "The service cannot count requests now, so it accepts none. Try again later."
            return _refuse(503, detail, "limits_unavailable", _RETRY_AFTER_S)
    request.limits = decision  # type: ignore[attr-defined]
    if decision.is_allowed:
        return None
    return _refuse(
        429, f"Too many requests. Try again in {decision.retry_after_s} s.", "throttled", decision.retry_after_s
    )


def _refuse(status: int, detail: str, code: str, retry_after_s: int) -> HttpResponse:
    return JsonResponse(error_body(detail, code), status=status, headers={"Retry-After": str(retry_after_s)})


def _body_bytes(request: HttpRequest) -> int:
    length = request.META.get("CONTENT_LENGTH") or ""
    return int(length) if length.isdecimal() else 0
