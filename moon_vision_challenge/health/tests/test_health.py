from unittest.mock import patch

import pytest
from django.db import OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from pytest_django import Settings

from moon_vision_challenge import __version__
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.conftest import StartFake, start_fake

__all__ = ["start_fake"]

AVAILABLE = fake.replies(200, {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]})


def test_livez_needs_nothing(client: Client) -> None:
    # without the django_db mark, any query is an error
    with patch("redis.connection.Connection.connect", side_effect=AssertionError):
        response = client.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "version": __version__})


@pytest.mark.django_db
def test_readyz_is_200_when_everything_is_there(client: Client, start_fake: StartFake) -> None:
    start_fake(AVAILABLE)
    response = client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "missing": []})


@pytest.mark.django_db
def test_readyz_verbose_tells_every_check(client: Client, start_fake: StartFake) -> None:
    start_fake(AVAILABLE)
    checks = client.get("/readyz?verbose").json()["checks"]
    assert checks == dict.fromkeys(["database", "migrations", "redis", "model_server"], "ok")


@pytest.mark.django_db
def test_a_model_server_that_is_away_is_named(client: Client, settings: Settings) -> None:
    settings.TF_SERVING_URL = "http://127.0.0.1:9"
    response = client.get("/readyz?verbose")
    assert (response.status_code, response.json()["missing"]) == (503, ["model_server"])
    assert response.json()["checks"]["model_server"] == "The model server does not answer."


@pytest.mark.django_db
def test_a_model_server_without_any_of_our_models_is_named(client: Client, start_fake: StartFake) -> None:
    start_fake(fake.replies(404, {"error": "Could not find any versions of model"}))
    response = client.get("/readyz?verbose")
    assert (response.status_code, response.json()["missing"]) == (503, ["model_server"])


@pytest.mark.django_db
def test_a_redis_that_is_away_is_named(client: Client, start_fake: StartFake, settings: Settings) -> None:
    start_fake(AVAILABLE)
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:9/0"}}
    response = client.get("/readyz")
    assert (response.status_code, response.json()["missing"]) == (503, ["redis"])


@pytest.mark.django_db
def test_a_database_that_is_away_is_named(client: Client, start_fake: StartFake) -> None:
    start_fake(AVAILABLE)
    with patch.object(connection, "cursor", side_effect=OperationalError("password=secret")):
        response = client.get("/readyz?verbose")
    assert (response.status_code, response.json()["missing"]) == (503, ["database", "migrations"])
    assert "secret" not in response.content.decode()


@pytest.mark.django_db
def test_a_migration_that_is_not_applied_is_named(client: Client, start_fake: StartFake) -> None:
    start_fake(AVAILABLE)
    (newest,) = MigrationLoader(connection).graph.leaf_nodes("classification")
    MigrationRecorder(connection).record_unapplied(*newest)
    response = client.get("/readyz?verbose")
    assert (response.status_code, response.json()["missing"]) == (503, ["migrations"])
    assert "1 migrations are not applied" in response.json()["checks"]["migrations"]
