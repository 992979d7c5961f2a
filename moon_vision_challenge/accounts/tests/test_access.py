"""Access to each route of the URL configuration by callers other than the owner. New routes are included by default."""

from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient
from rest_framework.views import APIView

from moon_vision_challenge.accounts import secret, tokens
from moon_vision_challenge.accounts.access import ANY_CALLER, PUBLIC, Access
from moon_vision_challenge.accounts.caller import ANONYMOUS_OWNER_ID, Scope
from moon_vision_challenge.accounts.models import ApiToken, Owner
from moon_vision_challenge.accounts.tests.conftest import ClientOf, NewToken
from moon_vision_challenge.accounts.tests.routes import Route, all_routes
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.jobs.models import Job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("closed")]

ROUTES = list(all_routes())
GUARDED = [route for route in ROUTES if route.rule is not PUBLIC]
every_guarded_route = pytest.mark.parametrize("route", GUARDED, ids=str)


@pytest.fixture
def alices(new_token: NewToken) -> Inference:
    """A row that Alice may see, cancel, and delete."""
    token, _ = new_token("alice", "setup")
    return new_rows(token.owner_id)


def new_rows(owner_id: int | None) -> Inference:
    """Create an inference and a job with the same id, and return the inference."""
    row = Inference.objects.create(owner_id=owner_id, model_type="resnet", image="inferences/a.jpg")
    Job.objects.create(pk=row.pk, owner_id=owner_id, model_type="resnet", container="zip", upload_bytes=0, total=0)
    return row


def call(client: APIClient, route: Route, row: Inference | None = None) -> Any:
    pk = row.pk if row else 1
    return getattr(client, route.method.lower())(route.path.format(pk=pk))


def test_the_routes_are_all_found() -> None:
    paths = {route.path for route in ROUTES}
    assert {"/livez", "/status", "/api/v0/inferences/", "/api/v1/inferences/{pk}/cancel/", "/api/docs/"} <= paths
    assert {route.rule for route in ROUTES} >= {PUBLIC, ANY_CALLER, Scope.CLASSIFY, Scope.READ}


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_route_declares_a_rule(route: Route) -> None:
    assert isinstance(route.rule, Access | Scope)


@every_guarded_route
def test_no_token_is_401(route: Route, client: APIClient, alices: Inference) -> None:
    response = call(client, route, alices)
    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'


def wrong(new_token: NewToken) -> str:
    return secret.new_token()


def expired(new_token: NewToken) -> str:
    token, text = new_token(expires_at=timezone.now() + timedelta(hours=1))
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now())
    return text


def revoked(new_token: NewToken) -> str:
    token, text = new_token()
    tokens.revoke_token(token, actor="test")
    return text


def of_an_inactive_owner(new_token: NewToken) -> str:
    token, text = new_token()
    Owner.objects.filter(pk=token.owner_id).update(is_active=False)
    return text


def cut_short(new_token: NewToken) -> str:
    return new_token()[1][:-1]


@every_guarded_route
@pytest.mark.parametrize("make", [wrong, expired, revoked, of_an_inactive_owner, cut_short])
def test_a_token_that_is_not_valid_is_401(
    route: Route, make: Callable[[NewToken], str], new_token: NewToken, client_of: ClientOf, alices: Inference
) -> None:
    response = call(client_of(make(new_token)), route, alices)
    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")
    assert response["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


@every_guarded_route
def test_a_token_without_the_scope_is_403(
    route: Route, new_token: NewToken, client_of: ClientOf, alices: Inference
) -> None:
    others = tuple(scope for scope in Scope if scope is not route.rule)
    response = call(client_of(new_token("alice", "other", others)[1]), route, alices)
    if route.rule is ANY_CALLER:
        assert response.status_code == 200
        return
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert f'scope="{route.rule}"' in response["WWW-Authenticate"]


@every_guarded_route
def test_another_owners_row_does_not_exist(
    route: Route, new_token: NewToken, client_of: ClientOf, alices: Inference
) -> None:
    response = call(client_of(new_token("bob")[1]), route, alices)
    if route.is_of_a_row and route.rule is not ANY_CALLER:
        nothing = call(client_of(new_token("bob", "second")[1]), route)
        assert response.status_code == nothing.status_code == 404
        assert response.json() == nothing.json()
    assert "inferences/a" not in response.content.decode()
    assert Inference.objects.get() == alices


@every_guarded_route
def test_the_owner_with_the_scope_is_let_in(
    route: Route, new_token: NewToken, client_of: ClientOf, alices: Inference
) -> None:
    scopes = (route.rule,) if isinstance(route.rule, Scope) else tuple(Scope)
    response = call(client_of(new_token("alice", "ci", scopes)[1]), route, alices)
    assert response.status_code in {200, 202, 204, 400}, response.content


@pytest.mark.parametrize("route", [route for route in GUARDED if route.method == "GET"], ids=str)
def test_no_shared_cache_keeps_what_is_shown_to_one_caller(
    route: Route, new_token: NewToken, client_of: ClientOf, client: APIClient, alices: Inference
) -> None:
    for caller in (client_of(new_token("alice")[1]), client_of(new_token("bob")[1]), client):
        response = call(caller, route, alices)
        if response.status_code != 405:
            assert "private" in response["Cache-Control"]
            assert "Authorization" in response["Vary"]


@every_guarded_route
def test_anonymous_callers_are_one_owner_where_they_are_allowed(
    route: Route, client: APIClient, settings: Settings, alices: Inference
) -> None:
    settings.API_ALLOW_ANONYMOUS = True
    if route.is_of_a_row and route.rule is not ANY_CALLER:
        assert call(client, route, alices).status_code == 404
    theirs = new_rows(ANONYMOUS_OWNER_ID)
    assert call(client, route, theirs).status_code in {200, 202, 204, 400}
    assert Inference.objects.filter(pk=alices.pk).exists()


@pytest.mark.parametrize("route", [route for route in ROUTES if route.rule is PUBLIC], ids=str)
def test_a_public_route_asks_for_nothing(route: Route, client: APIClient, client_of: ClientOf) -> None:
    for each in (client, client_of("nonsense")):
        assert call(each, route).status_code not in {401, 403}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Token  ",
        "Basic YTpi",
        "Bearer a b",
        "mvc_x",
        "Bearer \xff",
        "Digest x=y",
        "Bearer " + "x" * 9000,
    ],
)
def test_a_malformed_header_is_401_and_never_anonymous(settings: Settings, header: str) -> None:
    settings.API_ALLOW_ANONYMOUS = True
    response = APIClient().get("/api/v1/history/", headers={"Authorization": header})
    assert (response.status_code, response.json()["code"]) == (401, "invalid_token")
    assert response.json()["detail"].endswith(".")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Token", "TOKEN", "Bearer  "])
def test_both_schemes_are_taken_in_any_case(new_token: NewToken, scheme: str) -> None:
    response = APIClient().get("/api/v1/history/", headers={"Authorization": f"{scheme} {new_token()[1]}"})
    assert response.status_code == 200


def test_the_history_is_the_owners_own(new_token: NewToken, client_of: ClientOf, alices: Inference) -> None:
    for owner, expected in (("alice", [alices.pk]), ("bob", [])):
        results = client_of(new_token(owner)[1]).get("/api/v1/history/").json()["results"]
        assert [row["id"] for row in results] == expected


@pytest.mark.parametrize("address", ["/readyz", "/status"])
def test_only_admin_read_sees_the_checks(
    address: str, new_token: NewToken, client_of: ClientOf, client: APIClient
) -> None:
    operator = client_of(new_token(scopes=("admin:read",))[1])
    others = [client, client_of(new_token(name="r", scopes=("read", "classify"))[1]), client_of("nonsense")]
    assert "checks" in operator.get(f"{address}?verbose").json()
    for other in others:
        assert set(other.get(f"{address}?verbose").json()) == {"status", "missing"}


@pytest.mark.parametrize("page", ["", "classification/inference/", "accounts/apitoken/", "accounts/owner/add/"])
def test_a_token_does_not_open_the_admin(page: str, new_token: NewToken, client_of: ClientOf) -> None:
    response = client_of(new_token()[1]).get(f"/admin/{page}")
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_a_session_of_the_admin_does_not_open_the_api(admin_user: User) -> None:
    browser = Client()
    browser.force_login(admin_user)
    assert browser.get("/api/v1/history/").status_code == 401


def forgotten(_: object) -> HttpResponse:
    return HttpResponse("secret")


class ForgottenView(APIView):
    permission_classes = []
    get = staticmethod(forgotten)


@pytest.fixture
def forgotten_routes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("forgotten_urls")
    module.urlpatterns = [path("function", forgotten), path("class", ForgottenView.as_view())]  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "forgotten_urls", module)
    settings.ROOT_URLCONF = "forgotten_urls"


@pytest.mark.parametrize("address", ["/function", "/class"])
def test_a_route_without_a_rule_is_refused(
    address: str, forgotten_routes: None, new_token: NewToken, client_of: ClientOf, caplog: pytest.LogCaptureFixture
) -> None:
    response = client_of(new_token()[1]).get(address)
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert "declares no access rule" in caplog.text
