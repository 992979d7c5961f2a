"""Adds uploaded images to the OpenAPI schema. Their view is a function, which drf-spectacular does not read."""

from typing import Any

from moon_vision_challenge.web.openapi.refusals import Refusal
from moon_vision_challenge.web.openapi.shared import THROTTLED, add_headers, error_responses

_REFUSALS = [
    Refusal(
        403,
        "media_url_expired",
        "This address has expired. Get the inference again: its `image` is a new address.",
    ),
    Refusal(
        404, "not_found", "This address is incomplete or has been changed. Copy all of `image` from the inference."
    ),
    THROTTLED,
]
_CACHE_CONTROL = {
    "description": "`private`, and for how long the address is valid.",
    "required": True,
    "schema": {"type": "string"},
    "example": "private, max-age=3600",
}
_CONTENT_DISPOSITION = {
    "description": "A file name for the image.",
    "required": True,
    "schema": {"type": "string"},
    "example": 'inline; filename="5f0c2a7d9e1b4c68.jpg"',
}
_LOCATION = {
    "description": "The URL of the image on S3.",
    "required": True,
    "schema": {"type": "string", "format": "uri"},
}


def _parameter(name: str, where: str, **schema: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": True, "schema": {"type": "string", **schema}}


def add_media(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """Add the route of images, as a postprocessing hook of drf-spectacular."""
    responses = {
        "200": {
            "description": "The image.",
            "headers": {"Cache-Control": _CACHE_CONTROL, "Content-Disposition": _CONTENT_DISPOSITION},
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        },
        "302": {
            "description": "The image is on S3.",
            "headers": {"Cache-Control": _CACHE_CONTROL, "Location": _LOCATION},
        },
        "304": {
            "description": "The image has not changed since If-Modified-Since.",
            "headers": {"Cache-Control": _CACHE_CONTROL},
        },
        **error_responses(_REFUSALS),
    }
    add_headers(responses, "X-Request-ID")
    result["paths"]["/media/inferences/{year}/{month}/{day}/{name}"] = {
        "get": {
            "operationId": "get_image",
            "summary": "Get an uploaded image",
            "description": "Do not build this URL. It is `image` of an inference, and its signature grants access.",
            "tags": ["media"],
            "parameters": [
                _parameter("year", "path", pattern="^[0-9]{4}$"),
                _parameter("month", "path", pattern="^[0-9]{2}$"),
                _parameter("day", "path", pattern="^[0-9]{2}$"),
                _parameter("name", "path", pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"),
                _parameter("expires", "query", pattern="^[0-9]+$"),
                _parameter("signature", "query"),
            ],
            "security": [],
            "responses": dict(sorted(responses.items())),
        }
    }
    return result
