"""docs/api.md shows what the API does: its commands run, and it lists all of the OpenAPI schema and all error codes."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from moon_vision_challenge.accounts import tokens
from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.errors import AccessRefusedError
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.classification.exceptions import ClassificationError
from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.tests.commands import assert_as_shown, curl
from moon_vision_challenge.tests.documents import BASE_URL, block, blocks, section, slug, text
from native.environment import ROOT

PAGE = "docs/api.md"


@pytest.mark.django_db(transaction=True)
def test_the_commands_answer_what_is_shown(service: Service) -> None:
    as_body, at_once, with_scores, through_queue, and_wait, get, cancel, history, model, usage, readyz = blocks(
        PAGE, "sh"
    )
    body_label, label, scores, row, model_shown, usage_shown, ready, *_errors = blocks(PAGE, "json")
    assert_as_shown(curl(as_body, service), body_label, service)
    assert_as_shown(curl(at_once, service), label, service)
    assert_as_shown(curl(with_scores, service), scores, service)
    created = curl(through_queue, service)
    assert_as_shown(created, row, service)
    assert curl(get, service, created["id"])["id"] == created["id"]
    canceled = curl(cancel, service, created["id"])
    assert (canceled["id"], canceled["status"]) == (created["id"], "canceled")
    service.start("worker")
    waited_for = curl(and_wait, service)
    assert (waited_for["status"], waited_for["label"]) == ("done", "espresso")
    assert [one["id"] for one in curl(history, service)["results"]] == [waited_for["id"]]
    assert_as_shown(curl(model, service), model_shown, service)
    used, shown = curl(usage, service), json.loads(usage_shown)
    assert used.keys() == shown.keys()
    assert used["limits"][0].keys() == shown["limits"][0].keys()
    operator = tokens.create_token(owner=Owner.objects.create(name="ops"), name="ops", scopes=list(Scope), actor="test")
    assert_as_shown(curl(readyz.replace("$TOKEN", operator[1]), service), ready, service)


@pytest.mark.django_db(transaction=True)
def test_the_python_client_prints_the_label(service: Service) -> None:
    result = subprocess.run(
        [sys.executable, "-c", block(PAGE, "python", "base64.b64encode").replace(BASE_URL, service.url)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    assert result.stdout == "espresso\n"


def section_of(route: str) -> str:
    """Return the section to which the table of routes links."""
    (link,) = re.findall(rf"`{re.escape(route)}`[^]]*\]\(#([\w-]+)\)", text(PAGE).partition("## Requests")[0])
    (heading,) = [heading for heading in re.findall(r"^## (.*)$", text(PAGE), re.MULTILINE) if slug(heading) == link]
    return section(PAGE, heading)


def missing_from(found: str, operation: dict[str, Any]) -> Iterator[str]:
    """Yield the statuses, parameters, and response headers of an operation that its section does not name."""
    (statuses,) = re.findall(r"^Statuses: ([\d, ]+)\.", found, re.MULTILINE)
    yield from set(operation["responses"]) - set(statuses.split(", "))
    names = [parameter["name"] for parameter in operation.get("parameters", [])]
    names += [header for response in operation["responses"].values() for header in response.get("headers", {})]
    yield from (name for name in names if name not in found + section(PAGE, "Requests"))


def test_every_operation_is_listed_with_its_parameters_and_statuses(client: APIClient) -> None:
    paths = client.get("/api/schema/", {"format": "json"}).json()["paths"]
    operations = {f"{method.upper()} {path}": each for path in paths for method, each in paths[path].items()}
    missing = {route: list(missing_from(section_of(route), each)) for route, each in operations.items()}
    assert {route: names for route, names in missing.items() if names} == {}


def codes() -> list[str]:
    found: set[str] = set()
    causes: list[type] = [ClassificationError, AccessRefusedError]
    while causes:
        cause = causes.pop()
        causes += cause.__subclasses__()
        if cause.__module__.startswith("moon_vision_challenge.") and hasattr(cause, "code"):
            found.add(cause.code)
    return sorted(found)


@pytest.mark.parametrize("code", codes())
def test_every_error_code_is_listed(code: str) -> None:
    assert f"`{code}`" in section(PAGE, "Errors")
