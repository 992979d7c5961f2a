import time
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.db import connections
from django.test import Client
from pytest_django import Settings
from redis import Redis

from moon_vision_challenge.classification.media_store import stored_bytes
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.health import sightings, views
from moon_vision_challenge.health.tests.neighbours import (
    AVAILABLE,
    LOADING,
    MODELS,
    NOWHERE,
    database_at,
    needs_database,
    silent_server,
)


@needs_database
def test_status_is_ok_when_everything_works(client: Client, everything: None) -> None:
    response = client.get("/status")
    assert (response.status_code, response.json()) == (200, {"status": "ok", "missing": []})


@needs_database
def test_status_verbose_reports_every_check_the_models_and_the_free_bytes(client: Client, everything: None) -> None:
    body = client.get("/status?verbose").json()
    names = ["database", "migrations", "redis", "media", "workers", "beat", *(f"model:{name}" for name in MODELS)]
    assert body["checks"] == dict.fromkeys(names, "ok")
    assert body["models"] == dict.fromkeys(MODELS, "available")
    assert body["media_free_bytes"] > 0


@needs_database
def test_a_database_that_is_away_is_named(client: Client, everything: None) -> None:
    with database_at(NOWHERE):
        response = client.get("/status?verbose")
    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["missing"] == ["database"]
    assert response.json()["checks"]["database"] == "PostgreSQL does not answer: OperationalError."


@needs_database
def test_a_database_that_takes_no_writes_is_named(client: Client, everything: None) -> None:
    with patch.dict(connections.settings["default"]["OPTIONS"], options="-c default_transaction_read_only=on"):
        response = client.get("/status?verbose")
    assert (response.status_code, response.json()["missing"]) == (200, ["database"])
    assert response.json()["checks"]["database"].startswith("PostgreSQL accepts no writes")


@needs_database
def test_a_redis_that_is_away_is_named(client: Client, start_fake: StartFake, settings: Settings) -> None:
    start_fake(AVAILABLE)
    settings.REDIS_URL = f"redis://{NOWHERE}/0"
    response = client.get("/status")
    assert (response.status_code, response.json()["missing"]) == (200, ["redis", "workers", "beat"])


@needs_database
def test_a_redis_at_its_memory_limit_is_named(client: Client, everything: None) -> None:
    with Redis.from_url(django_settings.REDIS_URL) as redis:
        redis.config_set("maxmemory", 1)
        try:
            response = client.get("/status?verbose")
        finally:
            redis.config_set("maxmemory", 0)
    assert (response.status_code, response.json()["missing"]) == (200, ["redis"])
    assert response.json()["checks"]["redis"] == "Redis accepts no writes: OutOfMemoryError."


@needs_database
@pytest.mark.parametrize(
    ("answer", "state"), [(LOADING, "loading"), (fake.replies(404, {"error": "unknown"}), "unavailable")]
)
def test_models_that_are_not_ready_are_named_with_their_state(
    client: Client, start_fake: StartFake, answer: fake.Answer, state: str
) -> None:
    start_fake(answer)
    body = client.get("/status?verbose").json()
    assert {f"model:{name}" for name in MODELS} <= set(body["missing"])
    assert body["models"] == dict.fromkeys(MODELS, state)


@needs_database
def test_queues_without_a_worker_are_named(client: Client, start_fake: StartFake) -> None:
    start_fake(AVAILABLE)
    sightings.Sightings().note([sightings.queue("inferences"), sightings.queue("celery")])
    body = client.get("/status?verbose").json()
    assert body["missing"] == ["workers", "beat"]
    assert body["checks"]["workers"] == "No worker has been seen for 60 s in these queues: webhooks."


@needs_database
def test_a_media_folder_that_cannot_be_written_is_named(
    client: Client, everything: None, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    settings.MEDIA_ROOT = tmp_path / "file" / "folder"
    response = client.get("/status?verbose")
    assert (response.status_code, response.json()["missing"]) == (200, ["media"])


@needs_database
def test_a_media_folder_below_the_floor_is_named(client: Client, everything: None, settings: Settings) -> None:
    settings.MEDIA_MIN_FREE_BYTES = 1 << 60
    assert client.get("/status?verbose").json()["checks"]["media"] == ("The image store is full. Try again later.")


@needs_database
def test_an_image_store_at_its_bound_is_named(client: Client, everything: None, settings: Settings) -> None:
    settings.MEDIA_MAX_BYTES = 1000
    stored_bytes.measure()
    assert client.get("/status?verbose").json()["media_stored_bytes"] == 0
    stored_bytes.reserve(1000)
    views.status_of_all.forget()
    body = client.get("/status?verbose").json()
    assert (body["missing"], body["media_stored_bytes"]) == (["media"], 1000)
    assert body["checks"]["media"] == "The image store holds as much as MEDIA_MAX_BYTES allows."


@needs_database
def test_neighbours_that_hang_cost_one_deadline_all_together(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views.readiness, "_deadline_s", 0.5)
    monkeypatch.setattr(views.status_of_all, "_deadline_s", 0.5)
    with silent_server() as address, database_at(address):
        settings.TF_SERVING_URL = f"http://{address}"
        settings.REDIS_URL = f"redis://{address}/0"
        begin = time.monotonic()
        response = client.get("/status")
        lasted_s = time.monotonic() - begin
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")
    assert lasted_s < 30  # one of them alone takes 60


@needs_database
def test_errors_show_nothing_internal(client: Client, settings: Settings) -> None:
    settings.TF_SERVING_URL = "http://secret-host:9"
    settings.REDIS_URL = "redis://:secret-password@127.0.0.1:9/0"
    with database_at(NOWHERE):
        assert "secret" not in client.get("/status?verbose").content.decode()
