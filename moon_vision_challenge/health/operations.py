"""The health checks in the OpenAPI schema. Their views are functions, which drf-spectacular does not read."""

from typing import Any

from moon_vision_challenge import __version__
from moon_vision_challenge.classification.catalogue import ModelState
from moon_vision_challenge.web.openapi.refusals import JSON
from moon_vision_challenge.web.openapi.security import API_TOKEN

_STRING = {"type": "string"}
_BYTES = {"type": "integer", "minimum": 0}
_REPORT = {
    "type": "object",
    "required": ["status", "missing"],
    "properties": {
        "status": {"type": "string", "enum": ["ok", "degraded", "unavailable"]},
        "missing": {"type": "array", "items": _STRING, "description": "The names of what is unavailable."},
        "checks": {
            "type": "object",
            "description": "A sentence for each check, or `ok`. This field and those below are returned with "
            "`?verbose`, to a token with the scope `admin:read`.",
            "additionalProperties": _STRING,
        },
        "models": {
            "type": "object",
            "description": "The state of each model.",
            "additionalProperties": {"type": "string", "enum": [state.value for state in ModelState]},
        },
        "migrations_pending": {"type": "integer", "description": "Left out if it is 0."},
        "media_free_bytes": _BYTES,
        "media_stored_bytes": _BYTES,
    },
}
_LIVENESS = {
    "type": "object",
    "required": ["status", "version"],
    "properties": {"status": {"type": "string", "enum": ["ok"]}, "version": _STRING},
}
_VERBOSE = {
    "name": "verbose",
    "in": "query",
    "description": "Adds the checks, for a token with the scope `admin:read`. Any value works.",
    "schema": _STRING,
}


def add_health(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """Add the health checks. A hook of drf-spectacular."""
    result["components"]["schemas"] |= {"HealthReport": _REPORT, "Liveness": _LIVENESS}
    alive = {"200": _response("The web process answers.", "Liveness", {"status": "ok", "version": __version__})}
    result["paths"] |= {
        "/livez": {"get": _operation("get_liveness", "Does the process answer?", alive, [])},
        "/readyz": {"get": _of_report("get_readiness", "Can the process serve requests?", "Yes.")},
        "/status": {
            "get": _of_report("get_status", "Is everything available?", "`degraded`: something is unavailable.")
        },
    }
    return result


def _of_report(operation_id: str, summary: str, usable: str) -> dict[str, Any]:
    missing = {"status": "unavailable", "missing": ["database", "models"]}
    responses = {
        "200": _response(usable, "HealthReport", {"status": "ok", "missing": []}),
        "503": _response("The process can serve neither v0 nor v1.", "HealthReport", missing),
    }
    return {**_operation(operation_id, summary, responses, [{}, {API_TOKEN: []}]), "parameters": [_VERBOSE]}


def _operation(operation_id: str, summary: str, responses: dict[str, Any], security: list[Any]) -> dict[str, Any]:
    # The header is optional: without a free thread, the event loop answers /livez without an id.
    for response in responses.values():
        response["headers"] = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    return {
        "operationId": operation_id,
        "summary": summary,
        "tags": ["health"],
        "security": security,
        "responses": responses,
    }


def _response(description: str, schema: str, example: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"description": description, "content": {JSON: content}}
