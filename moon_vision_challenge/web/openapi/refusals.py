"""Errors in the OpenAPI schema. Each example is a response of the service, and is named after its code."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from drf_spectacular.plumbing import build_examples_list
from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework.exceptions import APIException, ErrorDetail

from moon_vision_challenge.accounts.errors import AccessRefusedError
from moon_vision_challenge.web.errors import error_body

JSON = "application/json"
ERROR = {"$ref": "#/components/schemas/Error"}
FIELD_ERRORS = {"$ref": "#/components/schemas/FieldErrors"}
COMPONENTS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "description": "An error that does not belong to a field.",
        "required": ["detail", "code"],
        "properties": {
            "detail": {"type": "string", "description": "A sentence for a person."},
            "code": {"type": "string", "description": "For a program. The meaning of a code never changes."},
        },
    },
    "FieldErrors": {
        "type": "object",
        "description": "What is wrong with each field, parameter, or header, by its name. `non_field_errors` is about "
        "the body.",
        "minProperties": 1,
        "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    },
}

_RETRY_AFTER = " Try again after the seconds in `Retry-After`."
DESCRIPTIONS = {
    400: "The request is not valid.",
    401: "The API token is missing, unknown, expired, or revoked.",
    403: "The API token does not have the scope that this operation needs.",
    404: "Nothing exists at this address, or it belongs to another owner.",
    408: "The request arrived too slowly.",
    409: "The state of the inference does not allow this.",
    413: "The image or the body is too large.",
    415: "The service does not support this Content-Type or Content-Encoding.",
    422: "The Idempotency-Key was used for a different request.",
    429: "A limit of the token, the owner, or the address is reached." + _RETRY_AFTER,
    502: "The model returned an unusable answer.",
    503: "Something that the service needs is not available, or the service is busy." + _RETRY_AFTER,
    504: "The model did not answer in time.",
}


class Refusal(NamedTuple):
    """An error as a client sees it."""

    status: int
    code: str
    detail: str


def refusal_of(error: AccessRefusedError | APIException) -> Refusal:
    if isinstance(error, AccessRefusedError):
        return Refusal(error.status, error.code, error.detail)
    assert isinstance(error.detail, ErrorDetail)  # noqa: S101  # not the errors of fields
    return Refusal(error.status_code, str(error.detail.code), str(error.detail))


def error_responses(
    refusals: Iterable[Refusal], field_errors: Mapping[str, list[str]] | None = None
) -> dict[int, OpenApiResponse]:
    """Return an operation's error responses by status, for drf-spectacular. `field_errors` is an example of a 400."""
    found = {
        status: OpenApiResponse(ERROR, DESCRIPTIONS[status], _examples(group))
        for status, group in groupby(sorted(refusals), key=lambda each: each.status)
    }
    if field_errors:
        examples = [OpenApiExample("field_errors", field_errors), *(found[400].examples if 400 in found else ())]
        found[400] = OpenApiResponse({"oneOf": [FIELD_ERRORS, ERROR]}, DESCRIPTIONS[400], examples)
    return found


def error_content(refusals: Iterable[Refusal]) -> dict[str, Any]:
    """Return the `content` of one error response, in the form of the schema."""
    return {JSON: {"schema": ERROR, "examples": build_examples_list(_examples(refusals))}}


def _examples(refusals: Iterable[Refusal]) -> list[OpenApiExample]:
    return [OpenApiExample(each.code, error_body(each.detail, each.code)) for each in refusals]
