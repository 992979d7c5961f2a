"""Two owners and a stranger use everything on the running service, with the token check of production."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from django.db import connection

from moon_vision_challenge.accounts import tokens
from moon_vision_challenge.accounts.models import ApiToken, Owner
from moon_vision_challenge.classification.tests.service import MODEL, PHOTO, Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for

CACHE_S = 1
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]


@pytest.fixture
def closed(service: Service) -> Service:
    service.start("web", DJANGO_API_ALLOW_ANONYMOUS="0", API_TOKEN_CACHE_S=str(CACHE_S))
    service.start("worker")
    return service


def new_token(owner: str) -> str:
    found, _ = Owner.objects.get_or_create(name=owner)
    return tokens.create_token(owner=found, name="ci", actor="test")[1]


class Caller:
    def __init__(self, service: Service, token: str = "") -> None:
        self.url = f"{service.url}/api"
        self.session = requests.Session()
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=LIMIT_S, **options)

    def post(self, version: str, **headers: str) -> requests.Response:
        files = {"image": ("photo.jpg", PHOTO)}
        return self("POST", f"/{version}/inferences/", data={"model_type": MODEL}, files=files, headers=headers)

    def label_of(self, path: str) -> str:
        wait_for(lambda: self("GET", path).json()["status"] == "done", "the label")
        return str(self("GET", path).json()["label"])

    def history(self) -> list[int]:
        return [row["id"] for row in self("GET", "/v1/history/").json()["results"]]


def test_nobody_reaches_what_belongs_to_another(closed: Service) -> None:
    alice, bob = (Caller(closed, new_token(name)) for name in ("alice", "bob"))
    stranger = Caller(closed)

    assert alice.post("v0").json() == {"label": "espresso"}
    assert stranger.post("v0").status_code == 401

    key = {"Idempotency-Key": "1"}
    created = {caller: caller.post("v1", **key).json()["id"] for caller in (alice, bob)}
    assert created[alice] != created[bob]
    assert alice.post("v1", **key).json()["id"] == created[alice]
    for caller, other in ((alice, bob), (bob, alice)):
        own, others = f"/v1/inferences/{created[caller]}/", f"/v1/inferences/{created[other]}/"
        assert caller.label_of(own) == "espresso"
        assert caller.history() == [created[caller]]
        for method, path in (("GET", others), ("POST", f"{others}cancel/"), ("DELETE", others)):
            assert caller(method, path).status_code == 404
            assert stranger(method, path).status_code == 401

    assert alice("DELETE", f"/v1/inferences/{created[alice]}/").status_code == 204
    assert (alice.history(), bob.history()) == ([], [created[bob]])


def test_a_revoked_token_is_refused_within_the_cache_time(closed: Service) -> None:
    alice = Caller(closed, new_token("alice"))
    assert alice.post("v0").status_code == 200
    tokens.revoke_token(ApiToken.objects.get(), actor="test")
    wait_for(lambda: alice.post("v0").status_code == 401, "the refusal")
    assert Caller(closed, new_token("alice")).post("v0").status_code == 200


@contextmanager
def database_closed() -> Iterator[None]:
    """Make PostgreSQL end all connections but this test's, and accept no new ones."""
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} WITH CONNECTION LIMIT 0")
        try:
            cursor.execute(f"SELECT pg_terminate_backend(pid) {others}")
            yield
        finally:
            cursor.execute(f"ALTER DATABASE {name} WITH CONNECTION LIMIT -1")


def test_while_postgresql_is_away_known_tokens_go_on_and_others_get_503(closed: Service) -> None:
    known, unknown = (Caller(closed, new_token(name)) for name in ("known", "unknown"))
    assert known.post("v0").status_code == 200
    with database_closed():
        end = time.monotonic() + 3 * CACHE_S
        while time.monotonic() < end:
            assert known.post("v0").status_code == 200
        refused = unknown.post("v0")
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        assert "Retry-After" in refused.headers
    wait_for(lambda: unknown.post("v0").status_code == 200, "the database")
