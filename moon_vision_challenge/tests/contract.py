"""Compares responses with docs/openapi.yaml: each response that a test gets must be described there.

The test settings add the middleware to the application of the tests and to the running service. A fixture of every test
fails if the middleware has noted a problem.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from native.environment import ROOT

SCHEMA_FILE = ROOT / "docs" / "openapi.yaml"
PROBLEMS_FILE = "CONTRACT_PROBLEMS"
"""The environment variable that names the file for the problems that the middleware notes."""

_COVERED = ("/api/", "/media/")
_NOT_COVERED = ("/api/schema/", "/api/docs/")
_ANY_REQUEST = {405, 411, 413, 431, 500, 501, 505}
"""The statuses that `info.description` gives for all requests."""
_NO_OPERATION = {400, 401, 403, 404, 408, 429, 503}
"""Further statuses with which a path or a method that is not in the schema can be refused."""
_HTTP = {
    *(
        "allow",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "date",
        "expires",
        "last-modified",
        "transfer-encoding",
    ),
    *("content-security-policy", "cross-origin-opener-policy", "referrer-policy", "strict-transport-security"),
    *("transfer-encoding", "vary", "x-content-type-options", "x-frame-options"),
}
"""Headers that mean the same in every HTTP API. All others are documented."""

_formats = FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_time(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_formats.checks("uri", raises=ValueError)
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or urlsplit(value).scheme in {"http", "https"}


class Contract:
    """An OpenAPI document, read strictly: a property that it does not name is a problem."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._schemas = {"components": {"schemas": _strict(document["components"]["schemas"])}}
        self._paths = [
            (re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))), operations)
            for path, operations in document["paths"].items()
        ]

    def problems(self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> Iterator[str]:
        """Yield what is wrong with a response."""
        operations = self._operations(path)
        if operations is None and (not path.startswith(_COVERED) or path in _NOT_COVERED):
            return
        operation = (operations or {}).get("get" if method == "HEAD" else method.lower())
        if operation is None:
            yield from self._problems_without_operation(method, status, body)
        elif str(status) in operation["responses"]:
            response = self._resolve(operation["responses"][str(status)])
            yield from self._problems_of_headers(response.get("headers", {}), headers)
            if method != "HEAD":
                yield from self._problems_of_body(response.get("content", {}), headers, body)
        elif status in _ANY_REQUEST:
            yield from self._problems_of_value({"$ref": "#/components/schemas/Error"}, body)
        else:
            yield f"status {status} is not documented"

    def _operations(self, path: str) -> dict[str, Any] | None:
        return next((operations for pattern, operations in self._paths if pattern.fullmatch(path)), None)

    def _resolve(self, node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in node:
            return node
        found = self._document
        for name in node["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return found

    def _problems_without_operation(self, method: str, status: int, body: bytes) -> Iterator[str]:
        if status in _ANY_REQUEST | _NO_OPERATION:
            if method != "HEAD":
                yield from self._problems_of_value({"$ref": "#/components/schemas/Error"}, body)
        elif (method, status) != ("OPTIONS", 200):
            yield f"the operation is not documented, and answers {status}"

    def _problems_of_headers(self, documented: dict[str, Any], headers: Mapping[str, str]) -> Iterator[str]:
        given = {name.lower(): value for name, value in headers.items()}
        for name, header in documented.items():
            resolved = self._resolve(header)
            value = given.pop(name.lower(), None)
            if value is not None:
                is_number = resolved["schema"]["type"] == "integer" and value.isdecimal()
                yield from self._problems_of_value(resolved["schema"], json.dumps(int(value) if is_number else value))
            elif resolved.get("required"):
                yield f"the header {name} is missing"
        for name in given.keys() - _HTTP:
            if not name.startswith("access-control-"):
                yield f"the header {name} is not documented"

    def _problems_of_body(self, documented: dict[str, Any], headers: Mapping[str, str], body: bytes) -> Iterator[str]:
        given = {name.lower(): value for name, value in headers.items()}.get("content-type", "").partition(";")[0]
        any_subtype = f"{given.partition('/')[0]}/*"
        content = documented.get(given, documented.get(any_subtype))
        if content is None:
            if body or documented:
                yield f"the Content-Type {given!r} is not documented"
        elif given == "application/json":
            found = list(self._problems_of_value(content["schema"], body))
            yield from found or _problems_of_code(content.get("examples", {}), json.loads(body))

    def _problems_of_value(self, schema: dict[str, Any], text: bytes | str) -> Iterator[str]:
        validator = Draft202012Validator({**self._schemas, **_strict(schema)}, format_checker=_formats)
        try:
            error = best_match(validator.iter_errors(json.loads(text)))
        except ValueError:
            yield f"this is not JSON: {text[:200]!r}"
            return
        if error:
            yield f"{error.json_path}: {error.message}"


def _problems_of_code(examples: dict[str, Any], value: Any) -> Iterator[str]:
    """Yield a problem if the code is missing from the examples of an error, which name all its codes."""
    codes = {example["value"].get("code") for example in examples.values() if isinstance(example["value"], dict)}
    if isinstance(value, dict) and isinstance(value.get("code"), str) and value["code"] not in codes:
        yield f"the code {value['code']!r} is not documented"


def _strict(schema: Any) -> Any:
    """Return the schema, changed to forbid properties that it does not name."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(each) for name, each in schema.items()}
    return {"additionalProperties": False, **strict} if isinstance(schema.get("properties"), dict) else strict


@cache
def contract() -> Contract:
    return Contract(yaml.load(SCHEMA_FILE.read_bytes(), yaml.CSafeLoader))


class ContractMiddleware:
    """The outermost middleware, so that it sees what the client gets."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if request.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META:
            return response  # a preflight: https://fetch.spec.whatwg.org/#cors-preflight-fetch defines it
        body = getattr(response, "content", b"")  # a file response has none
        found = contract().problems(
            request.method or "", request.path_info, response.status_code, response.headers, body
        )
        note([f"{request.method} {request.get_full_path()[:200]} → {response.status_code}: {each}" for each in found])
        return response


def note(problems: list[str]) -> None:
    if problems and (path := os.environ.get(PROBLEMS_FILE)):
        with Path(path).open("a") as file:
            file.writelines(f"{each}\n" for each in problems)


def take_notes() -> list[str]:
    """Return what all processes have noted since the last call."""
    path = Path(os.environ[PROBLEMS_FILE])
    if not path.exists():
        return []
    notes = path.read_text().splitlines()
    path.unlink()
    return notes
