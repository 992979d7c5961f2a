"""The address `/` in the OpenAPI schema. Its view is a function, which drf-spectacular does not read."""

from typing import Any

from moon_vision_challenge.playground.views import ENTRY_POINTS
from moon_vision_challenge.web.openapi.refusals import JSON
from moon_vision_challenge.web.openapi.shared import HOST_REFUSALS, OVERLOADED, add_headers, error_responses

_URL = {"type": "string", "format": "uri"}


def add_index(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """Add the address `/`. A hook of drf-spectacular."""
    result["components"]["schemas"]["EntryPoints"] = {
        "type": "object",
        "required": [*ENTRY_POINTS],
        "properties": dict.fromkeys(ENTRY_POINTS, _URL),
    }
    responses = {
        "200": {
            "description": "The page that tries the API, if the client prefers HTML. Otherwise, the entry points.",
            "content": {
                JSON: {"schema": {"$ref": "#/components/schemas/EntryPoints"}},
                "text/html": {"schema": {"type": "string"}},
            },
        },
        **error_responses([*HOST_REFUSALS, OVERLOADED]),
    }
    add_headers(responses, "X-Request-ID")
    result["paths"]["/"] = {
        "get": {
            "operationId": "get_entry_points",
            "summary": "Get the entry points",
            "tags": ["entry points"],
            "security": [],
            "responses": responses,
        }
    }
    return result
