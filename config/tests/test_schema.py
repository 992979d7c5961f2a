import io
import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from moon_vision_challenge import __version__


@pytest.fixture
def schema(client: Client) -> dict[str, Any]:
    response = client.get("/api/schema/")
    assert response.status_code == 200
    loaded: dict[str, Any] = yaml.safe_load(response.content)
    return loaded


def test_the_schema_is_valid_openapi_without_a_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", file="/dev/null", stdout=io.StringIO())


@pytest.mark.parametrize(
    ("accept", "content_type", "load"),
    [
        ("*/*", "application/vnd.oai.openapi; charset=utf-8", yaml.safe_load),
        ("application/json", "application/json", json.loads),
        ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json", json.loads),
    ],
)
def test_each_format_is_generated_once(
    client: Client,
    schema: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    accept: str,
    content_type: str,
    load: Callable[[bytes], dict[str, Any]],
) -> None:
    first = client.get("/api/schema/", headers={"Accept": accept})
    assert first["Content-Type"] == content_type
    assert load(first.content) == schema
    monkeypatch.delattr(SchemaGenerator, "get_schema")
    second = client.get("/api/schema/?lang=de&version=2", headers={"Accept": accept})
    assert second.content == first.content


def test_the_schema_has_the_version_of_the_service(schema: dict[str, Any]) -> None:
    assert schema["info"]["version"] == __version__


def test_the_schema_holds_every_resource(schema: dict[str, Any]) -> None:
    assert {path: set(methods) for path, methods in schema["paths"].items()} == {
        "/": {"get"},
        "/api/v0/inferences/": {"post", "options"},
        "/api/v1/inferences/": {"post", "options"},
        "/api/v1/inferences/{id}/": {"get", "delete"},
        "/api/v1/inferences/{id}/cancel/": {"post"},
        "/api/v1/jobs/": {"get", "post", "options"},
        "/api/v1/jobs/{id}/": {"get", "delete"},
        "/api/v1/jobs/{id}/cancel/": {"post"},
        "/api/v1/jobs/{id}/results/": {"get"},
        "/api/v1/jobs/{id}/results.jsonl": {"get"},
        "/api/v1/jobs/{id}/results.csv": {"get"},
        "/api/v1/history/": {"get"},
        "/api/v1/usage/": {"get"},
        "/api/v1/models/": {"get"},
        "/api/v1/models/{model_type}/": {"get"},
        "/api/v1/models/{model_type}/classes/": {"get"},
        "/media/inferences/{year}/{month}/{day}/{name}": {"get"},
        "/livez": {"get"},
        "/readyz": {"get"},
        "/status": {"get"},
    }


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/api/v0/inferences/", {"model_type", "image"}),
        ("/api/v1/inferences/", {"model_type", "image", "webhook_url"}),
    ],
)
def test_multipart_and_json_take_the_same_fields(schema: dict[str, Any], path: str, fields: set[str]) -> None:
    content_types = schema["paths"][path]["post"]["requestBody"]["content"]
    for content in (content_types["multipart/form-data"], content_types["application/json"]):
        component = content["schema"]["$ref"].rpartition("/")[2]
        assert set(schema["components"]["schemas"][component]["properties"]) >= fields, component


@pytest.mark.django_db  # closing a response ends a request, and Django then checks its database connection
def test_the_docs_page_uses_only_our_own_files(client: Client) -> None:
    page = client.get("/api/docs/").content.decode()
    sources = [part.split('"')[0] for part in page.replace('href="', 'src="').split('src="')[1:]]
    assert sources
    for source in sources:
        assert source.startswith(("/static/", "/api/docs/")), source
        with closing(client.get(source)) as response:
            assert response.status_code == 200, source
