"""Decides before each view whether the caller may use it."""

import logging
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers

from moon_vision_challenge.accounts.access import OWN_LOGIN, PUBLIC, Rule, check_access, rule_of
from moon_vision_challenge.accounts.caller import Caller, anonymous, is_identified, set_caller
from moon_vision_challenge.accounts.errors import AccessRefusedError, InvalidTokenError, MissingRuleError
from moon_vision_challenge.accounts.token_cache import tokens
from moon_vision_challenge.web.errors import error_body

logger = logging.getLogger(__name__)

_SCHEMES = frozenset({"bearer", "token"})


class AccessMiddleware:
    """Refuses routes without an access rule, and callers that do not satisfy the rule."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.method in ("GET", "HEAD") and is_identified(request):
            _keep_private(response)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        try:
            rule = _rule_of_route(request, view)
            if rule is PUBLIC or rule is OWN_LOGIN:
                return None
            caller = authenticate(request)
            set_caller(request, caller)
            check_access(rule, caller)
        except AccessRefusedError as error:
            if isinstance(error, MissingRuleError):
                logger.error("%s declares no access rule, so requests are refused", error.view)
            return JsonResponse(error_body(error.detail, error.code), status=error.status, headers=error.headers)
        return None


def _keep_private(response: HttpResponse) -> None:
    """Let only the caller's own cache keep the response, and make it revalidate, unless the view allows more."""
    response.headers.setdefault("Cache-Control", "private, no-cache")
    patch_vary_headers(response, ["Authorization"])


def _rule_of_route(request: HttpRequest, view: Callable[..., Any]) -> Rule:
    match = request.resolver_match
    if match and "admin" in match.app_names:
        return OWN_LOGIN
    return rule_of(view, request.method or "")


def authenticate(request: HttpRequest) -> Caller:
    """Return the caller of a request. A request that sends credentials is never anonymous.

    Raises:
        InvalidTokenError: the header is malformed, or the token is unknown, expired, or revoked.
        TokensUnavailableError, TooManyUnknownTokensError: the token could not be looked up.
    """
    header: str | None = request.META.get("HTTP_AUTHORIZATION")
    if header is None:
        return anonymous()
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() not in _SCHEMES:
        raise InvalidTokenError("This Authorization scheme is not supported. Send Authorization: Bearer TOKEN.")
    return tokens.find_caller(token.strip())
