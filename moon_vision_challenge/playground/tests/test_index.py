"""The address `/` and the files of its page, without a browser."""

import re
from contextlib import closing
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from pytest_django import Settings

from moon_vision_challenge.accounts.tests.routes import SAMPLES, all_routes
from moon_vision_challenge.playground import assets
from moon_vision_challenge.web.content_security_policy import HEADER
from moon_vision_challenge.web.errors import RequestTooLargeError

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
MAX_PAGE_BYTES = 100_000


@pytest.fixture
def client() -> Client:
    return Client()


def get(client: Client, accept: str | None) -> Any:
    return client.get("/", headers={} if accept is None else {"Accept": accept})


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (CHROME, "text/html"),
        ("text/html", "text/html"),
        ("text/html;q=0.5, application/json;q=0.4", "text/html"),
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/html;q=0.4, application/json;q=0.5", "application/json"),
        ("image/png", "application/json"),
        ("", "application/json"),
        ("nonsense", "application/json"),
    ],
)
def test_browsers_get_the_page_and_programs_the_entry_points(
    client: Client, accept: str | None, content_type: str
) -> None:
    response = get(client, accept)
    assert response.status_code == 200
    assert response["Content-Type"].partition(";")[0] == content_type
    assert response["Vary"] == "Accept"
    assert response["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("accept", [CHROME, "*/*"])
def test_head_is_get_without_the_body(client: Client, accept: str) -> None:
    with_body, without = get(client, accept), client.head("/", headers={"Accept": accept})
    assert (without.status_code, without.content) == (200, b"")
    assert [without[name] for name in ("Content-Type", HEADER)] == [
        with_body[name] for name in ("Content-Type", HEADER)
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused_with_json(client: Client, method: str) -> None:
    response = Client(enforce_csrf_checks=True).generic(method, "/", headers={"Accept": CHROME})
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert response.json()["code"] == "method_not_allowed"


def test_every_collection_of_the_api_is_an_entry_point(client: Client) -> None:
    entries: dict[str, str] = get(client, "application/json").json()
    api = {route.path for route in all_routes() if route.path.startswith("/api/")} - {"/api/nothing"}
    collections = {path for path in api if not any(value in path for value in SAMPLES.values())}
    assert set(entries.values()) == {f"http://testserver{path}" for path in collections}


def test_everyone_may_open_the_page(client: Client, settings: Settings) -> None:
    settings.API_ALLOW_ANONYMOUS = False
    assert [get(client, accept).status_code for accept in (CHROME, "*/*")] == [200, 200]


def test_the_page_allows_no_inline_script_or_style(client: Client) -> None:
    response = get(client, CHROME)
    assert "unsafe" not in response[HEADER]
    page = response.content.decode()
    assert re.findall(r"<script\b[^>]*>", page) == [f'<script type="module" src="/static/{assets.PREFIX}/page.js">']
    assert not re.search(r"\s(style|on[a-z]+)=|<style|javascript:|https?://", page)


def test_the_page_knows_the_limit_and_the_sentence_of_the_api(client: Client, settings: Settings) -> None:
    settings.INFERENCE_MAX_IMAGE_BYTES = 12_345
    page = get(client, CHROME).content.decode()
    assert 'data-max-image-bytes="12345"' in page
    assert f'data-too-large="{RequestTooLargeError().detail}"' in page


def test_the_page_with_all_its_files_is_small(client: Client) -> None:
    files = {path.name: path.stat().st_size for path in assets.FOLDER.iterdir()}
    assert sum(files.values()) + len(get(client, CHROME).content) < MAX_PAGE_BYTES, files


@pytest.mark.django_db  # closing a response ends a request, and Django then looks after its connection
def test_the_files_that_the_page_names_are_served_and_kept_for_ever(client: Client) -> None:
    named = re.findall(r'(?:href|src|data-sample)="(/static/[^"]+)"', get(client, CHROME).content.decode())
    assert {f"/static/{assets.PREFIX}/{path.name}" for path in assets.FOLDER.iterdir()} == set(named)
    for path in named:
        with closing(client.get(path)) as response:
            assert response.status_code == 200
            assert response["Cache-Control"] == "max-age=315360000, public, immutable"


def test_another_version_of_the_files_has_another_address(client: Client) -> None:
    assert re.fullmatch(r"playground/[0-9a-f]{16}", assets.PREFIX)
    assert finders.find("playground/0000000000000000/page.js") is None
    assert client.get("/static/playground/0000000000000000/page.js").status_code == 404


def test_modules_import_only_each_other() -> None:
    modules = {path.name: path.read_text() for path in assets.FOLDER.glob("*.js")}
    for name, text in modules.items():
        assert set(re.findall(r'from "\./([^"]+)"', text)) <= modules.keys() - {name}


def test_nothing_from_outside_becomes_html() -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|localStorage"
    assert [path.name for path in assets.FOLDER.glob("*.js") if re.search(forbidden, path.read_text())] == []
