"""Adds OPTIONS of the collections that accept POST to the OpenAPI schema. drf-spectacular leaves it out."""

from typing import Any

from moon_vision_challenge.web.openapi.refusals import JSON
from moon_vision_challenge.web.openapi.security import API_TOKEN

_STRING, _INTEGER, _BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_STRINGS = {"type": "array", "items": _STRING}
_FIELD = {"$ref": "#/components/schemas/FieldDescription"}
_FIELDS = {"type": "object", "additionalProperties": _FIELD}
_CHOICE = {
    "type": "object",
    "required": ["value", "display_name"],
    "properties": {"value": _STRING, "display_name": _STRING},
}
_COMPONENTS = {
    "FieldDescription": {
        "type": "object",
        "required": ["type", "required", "read_only"],
        "properties": {
            "type": {"type": "string", "examples": ["string", "choice", "file upload"]},
            "required": _BOOLEAN,
            "read_only": {"type": "boolean", "description": "Only in responses."},
            "label": _STRING,
            "help_text": _STRING,
            "choices": {"type": "array", "items": _CHOICE},
            "child": _FIELD,
            "children": _FIELDS,
            **dict.fromkeys(("min_value", "max_value", "min_length", "max_length"), _INTEGER),
        },
    },
    "Description": {
        "type": "object",
        "required": ["name", "description", "renders", "parses", "actions"],
        "properties": {
            "name": _STRING,
            "description": _STRING,
            "renders": {**_STRINGS, "description": "The media types of responses."},
            "parses": {**_STRINGS, "description": "The media types of requests."},
            "actions": {"type": "object", "required": ["POST"], "properties": {"POST": _FIELDS}},
        },
    },
}


def add_descriptions(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """A postprocessing hook for drf-spectacular."""
    result["components"]["schemas"] |= _COMPONENTS
    for operations in result["paths"].values():
        if "requestBody" in operations.get("post", {}):
            operations["options"] = _operation(operations["post"])
    return result


def _operation(post: dict[str, Any]) -> dict[str, Any]:
    content = {JSON: {"schema": {"$ref": "#/components/schemas/Description"}}}
    return {
        "operationId": f"describe_{post['operationId']}",
        "summary": "Describe the fields",
        "tags": post["tags"],
        "security": [{API_TOKEN: []}],
        "responses": {"200": {"description": "The fields of the request and of the response.", "content": content}},
    }
