"""The URLs outside the API: the admin, files, metrics. Strangers, tokens, and plain users cannot open any of them."""

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLResolver, get_resolver
from rest_framework.test import APIClient

from moon_vision_challenge.accounts.access import PUBLIC, rule_of
from moon_vision_challenge.accounts.tests.conftest import ClientOf, NewToken
from moon_vision_challenge.accounts.tests.routes import all_routes

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("closed")]

OPEN = {"/admin/login/", "/admin/logout/"}
SAMPLES = {
    "<path:object_id>": "1",
    "<path:url>": "1",
    "<path:content_type_id>": "1",
    "<int:inference_id>": "1",
    "<path:object_id>/": "1/",
    "<id>": "1",
}


def admin_paths() -> Iterator[str]:
    """Yield each path of the admin, from the URL configuration."""
    (resolver,) = [each for each in get_resolver().url_patterns if str(each.pattern) == "admin/"]
    assert isinstance(resolver, URLResolver)
    for pattern in _patterns(resolver):
        path = f"/admin/{pattern}"
        for name, sample in SAMPLES.items():
            path = path.replace(name, sample)
        yield path


def _patterns(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for each in resolver.url_patterns:
        if isinstance(each, URLResolver):
            yield from _patterns(each, prefix + str(each.pattern))
        elif not str(each.pattern).startswith(("^", "(?P")):
            yield prefix + str(each.pattern)


PATHS = sorted({path for path in admin_paths() if path not in OPEN})
every_page = pytest.mark.parametrize("path", PATHS)


def test_the_pages_of_all_models_are_found() -> None:
    for model in admin.site._registry:
        assert f"/admin/{model._meta.app_label}/{model._meta.model_name}/" in PATHS
    assert all("<" not in path for path in PATHS)


def assert_asks_for_a_login(client: Client | APIClient, path: str) -> None:
    for method in ("get", "post", "put", "delete"):
        response = getattr(client, method)(path)
        assert response.status_code in {302, 403, 404, 405}, method
        if response.status_code == 302:
            assert response["Location"].startswith(("/admin/login/", f"/admin/{path.split('/')[2]}")), method
        assert b"Site administration" not in response.content


@every_page
def test_a_stranger_has_to_log_in(path: str) -> None:
    assert_asks_for_a_login(Client(), path)


@every_page
def test_a_token_does_not_log_in(path: str, new_token: NewToken, client_of: ClientOf) -> None:
    assert_asks_for_a_login(client_of(new_token()[1]), path)


@every_page
def test_a_user_who_is_not_staff_has_to_log_in(path: str) -> None:
    client = Client()
    client.force_login(User.objects.create_user("visitor"))
    assert_asks_for_a_login(client, path)


def test_the_public_routes_are_these() -> None:
    """A new public route must be added here, too."""
    assert {route.path for route in all_routes() if rule_of(route.view, "GET") is PUBLIC and route.method == "GET"} == {
        "/",
        "/api/docs/",
        "/api/nothing",
        "/api/schema/",
        "/livez",
        "/media/inferences/2026/01/01/0123456789abcdef.jpg",
        "/readyz",
        "/status",
    }


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/flower/", "/static/", "/static/../manage.py", "/.env"])
def test_nothing_else_is_served(path: str, client: APIClient, new_token: NewToken, client_of: ClientOf) -> None:
    for each in (client, client_of(new_token()[1])):
        assert each.get(path).status_code == 404
