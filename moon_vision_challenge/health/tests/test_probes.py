import threading
from unittest.mock import patch

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from pytest_django import Settings

from moon_vision_challenge import __version__
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.health import views
from moon_vision_challenge.health.checks import READINESS, Findings
from moon_vision_challenge.health.prober import Prober
from moon_vision_challenge.health.tests.neighbours import AVAILABLE, NOWHERE, database_at, needs_database


def test_livez_needs_nothing(client: Client) -> None:
    # without the django_db mark, any query is an error
    with patch("redis.connection.Connection.connect", side_effect=AssertionError):
        response = client.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "version": __version__})


@needs_database
def test_readyz_is_200_when_everything_works(client: Client, everything: None) -> None:
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "missing": []})


@needs_database
def test_readyz_is_200_without_a_model_because_v1_still_accepts(client: Client, settings: Settings) -> None:
    settings.TF_SERVING_URL = f"http://{NOWHERE}"
    assert client.get("/readyz").status_code == 200


@needs_database
def test_readyz_is_200_without_the_database_because_v0_still_answers(client: Client, everything: None) -> None:
    with database_at(NOWHERE):
        assert client.get("/readyz").status_code == 200


@needs_database
def test_readyz_is_200_without_redis(client: Client, start_fake: StartFake, settings: Settings) -> None:
    start_fake(AVAILABLE)
    settings.REDIS_URL = f"redis://{NOWHERE}/0"
    assert client.get("/readyz").status_code == 200


@needs_database
def test_readyz_is_503_with_neither_database_nor_model(client: Client, settings: Settings) -> None:
    settings.TF_SERVING_URL = f"http://{NOWHERE}"
    with database_at(NOWHERE):
        response = client.get("/readyz")
    missing = ["database", *(f"model:{name}" for name in ("resnet", "inception", "efficientnet_lite0"))]
    assert (response.status_code, response.json()) == (503, {"status": "unavailable", "missing": missing})


@needs_database
def test_readyz_is_503_while_a_migration_is_not_applied(client: Client, everything: None) -> None:
    (newest,) = MigrationLoader(connection).graph.leaf_nodes("classification")
    MigrationRecorder(connection).record_unapplied(*newest)
    response = client.get("/readyz?verbose")
    assert (response.status_code, response.json()["missing"]) == (503, ["migrations"])
    assert response.json()["checks"]["migrations"].startswith("1 migrations are not applied.")
    MigrationRecorder(connection).record_applied(*newest)
    views.readiness.forget()
    assert client.get("/readyz").status_code == 200


@needs_database
def test_migrations_that_are_applied_are_not_looked_up_again(client: Client, everything: None) -> None:
    client.get("/readyz")
    views.readiness.forget()
    with patch("moon_vision_challenge.health.checks.MigrationExecutor", side_effect=AssertionError):
        assert client.get("/readyz").status_code == 200


@needs_database
def test_readyz_is_200_while_it_takes_too_long_to_find_out_about_migrations(
    client: Client, everything: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late() -> Findings:
        release.wait()
        return Findings()

    release = threading.Event()
    monkeypatch.setattr(views, "readiness", Prober({**READINESS, "migrations": late}))
    response = client.get("/readyz?verbose")
    release.set()
    assert response.json()["checks"]["migrations"] == "No answer within 2 s."
    assert response.status_code == 200
