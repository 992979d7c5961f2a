"""docs/openapi.yaml describes the service's answers. conftest.py compares every other response that a test gets."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from moon_vision_challenge.classification.tests.service import PHOTO, Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S
from moon_vision_challenge.tests import contract

DOCUMENT: dict[str, Any] = yaml.load(contract.SCHEMA_FILE.read_bytes(), yaml.CSafeLoader)
JSON = {"Content-Type": "application/json"}
ERROR = {"detail": "No.", "code": "not_found"}
V0, ROW, MODELS = "/api/v0/inferences/", "/api/v1/inferences/1/", "/api/v1/models/"


def test_the_file_is_up_to_date(tmp_path: Path) -> None:
    call_command("spectacular", file=str(tmp_path / "openapi.yaml"))
    assert (tmp_path / "openapi.yaml").read_text() == contract.SCHEMA_FILE.read_text(), "Run: make schema"


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")


def problems(method: str, path: str, status: int, body: Any = None, **headers: str) -> list[str]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return list(contract.contract().problems(method, path, status, {**JSON, **named}, text))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (problems("POST", V0, 418, ERROR), "status 418"),
        (problems("POST", V0, 201, {"label": "cup"}), "status 201"),
        (problems("POST", V0, 200, {"name": "cup"}), "'name' was unexpected"),
        (problems("POST", V0, 200, {"label": 1}), "is not of type 'string'"),
        (problems("POST", V0, 200, {"label": "cup", "more": 1}), "'more' was unexpected"),
        (problems("POST", V0, 200, b"<html>"), "not JSON"),
        (problems("POST", V0, 200, {"label": "cup"}, Content_Type="text/html"), "Content-Type 'text/html'"),
        (problems("POST", V0, 200, {"label": "cup"}, ETag='"1"'), "header etag is not documented"),
        (problems("POST", V0, 503, {**ERROR, "code": "decoder_busy"}), "header Retry-After is missing"),
        (problems("POST", V0, 503, {**ERROR, "code": "decoder_busy"}, Retry_After="soon"), "not of type 'integer'"),
        (problems("POST", V0, 415, {**ERROR, "code": "not_found"}), "code 'not_found' is not documented"),
        (problems("POST", V0, 400, {"model_type": "No."}), "is not of type 'array'"),
        (problems("GET", ROW, 404, "not an object"), "is not of type 'object'"),
        (problems("OPTIONS", V0, 200, {"actions": {}}), "is a required property"),
        (problems("GET", "/", 200, {"classify": "http://127.0.0.1/"}), "is a required property"),
        (problems("PUT", ROW, 200, {}), "operation is not documented"),
        (problems("GET", "/api/v1/secrets/", 200, {}), "operation is not documented"),
        (problems("DELETE", MODELS, 405, "<html>"), "is not of type 'object'"),
    ],
)
def test_what_is_not_in_the_schema_is_a_problem(found: list[str], words: str) -> None:
    assert any(words in problem for problem in found), found


@pytest.mark.parametrize(
    "found",
    [
        problems("POST", V0, 200, {"label": "cup"}),
        problems("POST", V0, 400, {"model_type": ["No."]}),
        problems("POST", V0, 400, {"detail": "No.", "code": "malformed_body"}),
        problems("POST", V0, 503, {"detail": "No.", "code": "decoder_busy"}, Retry_After="5"),
        problems("HEAD", MODELS, 200, b"", Cache_Control="private, max-age=5"),
        problems("PATCH", MODELS, 405, {"detail": "No.", "code": "method_not_allowed"}),
        problems("GET", "/api/v1/secrets/", 404, ERROR),
        problems("GET", "/admin/", 200, b"<html>"),
    ],
)
def test_what_is_in_the_schema_is_not(found: list[str]) -> None:
    assert found == []


def test_a_response_of_the_application_is_compared(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "contract", lambda: contract.Contract({**DOCUMENT, "paths": {}}))
    assert client.get("/api/v1/models/").status_code == 200
    assert contract.take_notes() == ["GET /api/v1/models/ → 200: the operation is not documented, and answers 200"]


def contents(node: Any) -> Iterator[dict[str, Any]]:
    """Yield each media type object of the document."""
    if isinstance(node, dict):
        if "schema" in node and node.keys() & {"example", "examples"}:
            yield node
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from contents(each)


def test_every_example_follows_its_schema() -> None:
    schemas = {"components": DOCUMENT["components"]}
    seen = 0
    for content in contents(DOCUMENT):
        validator = Draft202012Validator({**schemas, **content["schema"]})
        for example in [each["value"] for each in content.get("examples", {}).values()] or [content["example"]]:
            validator.validate(example)
            seen += 1
    assert seen > 50


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v0/inferences/", "/api/v1/inferences/"])
def test_the_examples_of_requests_are_accepted(client: APIClient, path: str) -> None:
    examples = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in examples.values():
        response = client.post(path, example["value"], format="json")
        assert response.status_code in {200, 201}, response.content


@pytest.mark.parametrize("path", ["/api/v0/inferences/", "/api/v1/inferences/", "/api/v1/jobs/"])
def test_options_of_a_collection_is_in_the_schema(client: APIClient, path: str) -> None:
    assert client.options(path).status_code == 200  # the fixture compares it
    assert "options" in DOCUMENT["paths"][path]


def ask(service: Service, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return the answer to bytes that no HTTP client sends."""
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as connection:
        connection.sendall(request)
        with HTTPResponse(connection) as response:
            response.begin()
            return response.status, dict(response.getheaders()), response.read()


HEAD = b"POST /api/v0/inferences/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (HEAD + b"Content-Length: 99999999\r\n\r\n", 413),
        (HEAD + b"Content-Length: 9\r\nContent-Type: application/json\r\n\r\n{", 408),
        (HEAD + b"Content-Length: x\r\n\r\n", 400),
        (HEAD + b"X: " + b"x" * 40_000 + b"\r\n\r\n", 431),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (HEAD.replace(b"127.0.0.1", b"example.org") + b"Content-Length: 0\r\n\r\n", 400),
        (HEAD.replace(b"HTTP/1.1", b"HTTP/2.0") + b"\r\n", 505),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else "",
)
@pytest.mark.django_db(transaction=True)
def test_what_the_web_server_itself_refuses(impatient: Service, request_: bytes, expected: int) -> None:
    status, headers, body = ask(impatient, request_)
    assert status == expected
    assert list(contract.contract().problems("POST", V0, status, headers, body)) == []


@pytest.fixture(scope="module")
def impatient(_web: Service) -> Iterator[Service]:
    _web.start("web", WEB_BODY_TIMEOUT_S="1")
    yield _web
    _web.start("web")


@pytest.mark.django_db(transaction=True)
def test_a_photo_as_it_arrives(service: Service) -> None:
    """The answer comes through the web server, with all its headers."""
    head = HEAD.replace(b"/v0/inferences/", b"/v0/inferences/?model_type=efficientnet_lite0")
    head += b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(PHOTO)
    status, headers, body = ask(service, head + PHOTO)
    assert (status, json.loads(body)) == (200, {"label": "espresso"})
    assert list(contract.contract().problems("POST", V0, status, headers, body)) == []
