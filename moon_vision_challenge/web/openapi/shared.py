"""What the operations of the OpenAPI schema share: refusals before the view runs, limits, and headers."""

from itertools import groupby
from typing import Any

from moon_vision_challenge.accounts.errors import (
    InsufficientScopeError,
    InvalidTokenError,
    MissingTokenError,
    TokensUnavailableError,
    TooManyUnknownTokensError,
)
from moon_vision_challenge.web.openapi import refusals, security
from moon_vision_challenge.web.openapi.refusals import JSON, Refusal, refusal_of
from moon_vision_challenge.web.throttling.usage import UnknownUsageError

THROTTLED = Refusal(429, "throttled", "Too many requests. Try again in 1 s.")
HOST_REFUSALS = [
    Refusal(400, "bad_request", "This service does not answer to this Host."),
    Refusal(400, "malformed_request", "Send exactly one Host header."),
]
OVERLOADED = Refusal(503, "overloaded", "The service receives too much at once. Try again later.")
# An operation may have more reasons for these statuses.
_ALSO = [
    *HOST_REFUSALS,
    refusal_of(TokensUnavailableError()),
    refusal_of(TooManyUnknownTokensError()),
    refusal_of(UnknownUsageError()),
    OVERLOADED,
]
_ALONE = {
    "Unauthorized": [refusal_of(MissingTokenError()), refusal_of(InvalidTokenError())],
    "Forbidden": [refusal_of(InsufficientScopeError("read"))],
    "TooManyRequests": [THROTTLED],
}
_HAVE_RETRY_AFTER = {"429", "503"}
_ANY_RESPONSE = ("RateLimit-Policy", "RateLimit", "X-Request-ID")
HEADERS: dict[str, dict[str, Any]] = {
    "RateLimit-Policy": {
        "description": "The limits that apply: `q` units at once, and in each `w` seconds.",
        "schema": {"type": "string"},
        "example": '"v0-token-1s";q=100;w=1, "v0-owner-1s";q=200;w=1',
    },
    "RateLimit": {
        "description": "What is left of each limit: `r` units. All of it is available again in `t` seconds.",
        "schema": {"type": "string"},
        "example": '"v0-token-1s";r=99;t=1, "v0-owner-1s";r=199;t=1',
    },
    "X-Request-ID": {
        "description": "The id of the request in the service's log. If you send a valid id, the service uses yours.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next request.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
        "example": 5,
    },
    "WWW-Authenticate": {
        "description": "What the address requires (RFC 6750).",
        "required": True,
        "schema": {"type": "string"},
        "example": 'Bearer realm="api"',
    },
}


def add_what_operations_share(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """A postprocessing hook for drf-spectacular."""
    components = result["components"]
    components["schemas"] = dict(sorted({**components["schemas"], **refusals.COMPONENTS}.items()))
    components["headers"] = HEADERS
    components["responses"] = {name: _response(reasons) for name, reasons in _ALONE.items()}
    components["securitySchemes"] = security.SCHEMES
    for operations in result["paths"].values():
        for operation in operations.values():
            if "requestBody" in operation:
                operation["requestBody"]["required"] = True
            _complete(operation["responses"])
            operation["responses"] = dict(sorted(operation["responses"].items()))
    return result


def error_responses(reasons: list[Refusal]) -> dict[str, Any]:
    """Return the error responses of an operation that drf-spectacular does not know."""
    responses: dict[str, Any] = {}
    _add_reasons(responses, reasons)
    add_headers(responses)
    return responses


def add_headers(responses: dict[str, Any], *names: str) -> None:
    """Add these headers to each response, and `Retry-After` to a 429 and a 503."""
    for status, response in responses.items():
        required = ["Retry-After"] if status in _HAVE_RETRY_AFTER else []
        headers = {name: {"$ref": f"#/components/headers/{name}"} for name in (*required, *names)}
        response["headers"] = {**response.get("headers", {}), **headers}


def _complete(responses: dict[str, Any]) -> None:
    _add_reasons(responses, _ALSO)
    add_headers(responses, *_ANY_RESPONSE)
    for name, (first, *_more) in _ALONE.items():
        responses[str(first.status)] = {"$ref": f"#/components/responses/{name}"}


def _response(reasons: list[Refusal]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    _add_reasons(responses, reasons)
    challenge = ["WWW-Authenticate"] if reasons[0].status in {401, 403} else []
    add_headers(responses, *challenge, *_ANY_RESPONSE)
    (response,) = responses.values()
    return dict(response)


def _add_reasons(responses: dict[str, Any], reasons: list[Refusal]) -> None:
    for status, group in groupby(reasons, key=lambda each: each.status):
        response = responses.setdefault(str(status), {"description": refusals.DESCRIPTIONS[status]})
        content = refusals.error_content(group)
        examples = response.setdefault("content", content)[JSON].setdefault("examples", {})
        examples.update(content[JSON]["examples"])
