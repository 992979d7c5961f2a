import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from django.conf import settings as django_settings
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from pytest_django import Settings
from redis import Redis

from moon_vision_challenge import __version__
from moon_vision_challenge.classification import stored_bytes
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.conftest import StartFake, start_fake
from moon_vision_challenge.health import checks, sightings, views
from moon_vision_challenge.health.checks import READINESS, Findings, check_migrations
from moon_vision_challenge.health.prober import Prober

__all__ = ["start_fake"]

AVAILABLE = fake.replies(200, {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]})
LOADING = fake.replies(200, {"model_version_status": [{"version": "1", "state": "LOADING"}]})
MODELS = ["efficientnet_lite0", "inception", "resnet"]
QUEUES = ["celery", "inferences", "webhooks"]
NOWHERE = "127.0.0.1:9"

needs_database = pytest.mark.django_db(transaction=True)  # other threads see what a test commits


@pytest.fixture(autouse=True)
def _nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a loaded machine has more time for each check."""
    monkeypatch.setattr(views, "_may_see_checks", lambda _: True)  # the tests of accounts check who may
    check_migrations.are_applied = False
    for prober in (views.readiness, views.status_of_all):
        prober.forget()
        monkeypatch.setattr(prober, "_deadline_s", 60)
    monkeypatch.setattr(checks, "_DATABASE_TIMEOUT_S", 60)
    monkeypatch.setattr(sightings, "TIMEOUT_S", 60)


@pytest.fixture
def everything(start_fake: StartFake) -> None:
    """All neighbours are there, and workers and beat have been seen."""
    start_fake(AVAILABLE)
    sightings.Sightings().note([*map(sightings.queue, QUEUES), sightings.BEAT])


@contextmanager
def database_at(address: str) -> Iterator[None]:
    host, _, port = address.partition(":")
    with patch.dict(connections.settings["default"], HOST=host, PORT=port):
        yield


@contextmanager
def silent_server() -> Iterator[str]:
    """An address where the kernel takes connections and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


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
    assert response.json()["checks"]["database"].startswith("PostgreSQL takes no writes")


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
    assert response.json()["checks"]["redis"] == "Redis takes no writes: OutOfMemoryError."


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


def test_a_hundred_callers_at_once_share_one_probe() -> None:
    probes = []

    def count() -> Findings:
        probes.append(1)
        return Findings({"one": None})

    prober = Prober({"one": count})
    with ThreadPoolExecutor(20) as pool:
        reports = list(pool.map(lambda _: prober.report(), range(100)))
    assert len(probes) == 1
    assert all(report.missing == [] for report in reports)


def test_the_deadline_is_two_seconds() -> None:
    assert Prober({})._deadline_s == 2


def test_while_a_check_hangs_it_is_not_started_again_and_the_last_report_is_given_at_once() -> None:
    release, started = threading.Event(), []

    def hang() -> Findings:
        started.append(1)
        release.wait()
        return Findings({"slow": None})

    prober = Prober({"slow": hang, "quick": lambda: Findings({"quick": None})}, deadline_s=1)
    assert prober.report().problems == {"slow": "No answer within 1 s.", "quick": None}
    prober.forget()
    assert prober.report().missing == ["slow"]
    assert len(started) == 1
    release.set()


def test_a_check_that_raises_is_a_problem_and_hides_no_other() -> None:
    def broken() -> Findings:
        raise ZeroDivisionError("secret")

    problems = Prober({"broken": broken, "sound": lambda: Findings({"sound": None})}).report().problems
    assert problems == {"broken": "The check itself failed. Its error has been logged.", "sound": None}


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
