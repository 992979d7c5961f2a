"""What all operations of the OpenAPI schema have in common."""

from typing import Any

_REFUSALS = {
    "401": "The API token is missing, unknown, expired, or revoked.",
    "403": "The API token does not have the scope that this operation needs.",
}


def add_refusals(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """A hook of drf-spectacular: any operation may be refused before its view runs."""
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, description in _REFUSALS.items():
                operation["responses"][status] = {"content": content, "description": description}
            operation["responses"] = dict(sorted(operation["responses"].items()))
    return result
