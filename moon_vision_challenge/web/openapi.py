"""What all operations of the OpenAPI schema have in common: refusals before the view runs, and limits."""

from typing import Any

_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_REFUSALS = {
    "401": "The API token is missing, unknown, expired, or revoked.",
    "403": "The API token does not have the scope that this operation needs.",
    "429": "A limit of the token, the owner, or the address is reached. Try again after the seconds in `Retry-After`.",
    "503": "Requests cannot be counted now. Try again after the seconds in `Retry-After`.",
}
_HEADERS = {
    "RateLimit-Policy": "The limits that apply: `q` units at once, and in each `w` seconds.",
    "RateLimit": "What is left of each: `r` units. All of it is available again in `t` seconds.",
}


def add_refusals_and_limits(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """A hook of drf-spectacular. What an operation says itself about one of these statuses stays."""
    headers = {name: {"schema": {"type": "string"}, "description": text} for name, text in _HEADERS.items()}
    for operations in result["paths"].values():
        for operation in operations.values():
            responses = operation["responses"]
            for status, description in _REFUSALS.items():
                responses.setdefault(status, {"content": _ERROR, "description": description})
            for response in responses.values():
                response["headers"] = {**response.get("headers", {}), **headers}
            operation["responses"] = dict(sorted(responses.items()))
    return result
