"""Behind PgBouncer, each transaction may run in a different session of the server."""

import logging
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, connections
from django.test import Client

from chaos.machines.pgbouncer import find_pgbouncer, pgbouncer
from chaos.machines.session_state import left_behind
from moon_vision_challenge.classification.queue import sweep
from moon_vision_challenge.classification.tests.service import Service
from moon_vision_challenge.postgresql import pooled
from moon_vision_challenge.postgresql.base import DatabaseWrapper
from moon_vision_challenge.postgresql.options import connection_options
from moon_vision_challenge.postgresql.probe import probe_disk

BOUNDS: dict[str, Any] = {
    "connect_timeout_s": 60.0,
    "tcp_timeout_s": 10.0,
    "statement_timeout_s": 60.0,
    "lock_timeout_s": 5.0,
    "idle_in_transaction_timeout_s": 0.0,
}


def options(given: dict[str, Any] | None = None) -> dict[str, Any]:
    return connection_options(given or {}, is_pooled=True, **BOUNDS)


def database() -> DatabaseWrapper:
    return DatabaseWrapper({**connections.settings["default"], "OPTIONS": options()})


def test_the_session_gets_no_limits() -> None:
    found = options()
    assert "options" not in found
    assert found["bounds_of_the_role"] == {"statement_timeout": 60_000, "lock_timeout": 5_000}
    assert found["answer_timeout_s"] == 61


@pytest.mark.parametrize(
    "given", [{"options": "-c search_path=mine"}, {"assume_role": "other"}, {"isolation_level": 3}], ids=str
)
def test_an_option_that_is_kept_in_the_session_is_an_error(given: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match=next(iter(given))):
        options(given)


def test_a_role_without_limits_is_a_warning_that_says_what_to_run(
    db: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooled._check, "is_done", False)
    with caplog.at_level(logging.WARNING), closing(database()) as pooled_database:
        pooled_database.ensure_connection()
        pooled_database.close()
        pooled_database.ensure_connection()
    (record,) = (record for record in caplog.records if record.name == pooled.__name__)
    role = connection.settings_dict["USER"]
    assert (
        f"ALTER ROLE {role} SET lock_timeout = 5000; ALTER ROLE {role} SET statement_timeout = 60000;" in record.message
    )


def test_migrations_are_refused(db: None) -> None:
    with (
        patch.dict(connections.settings["default"], OPTIONS=options()),
        patch.dict(connection.settings_dict, OPTIONS=options()),
        pytest.raises(CommandError, match="DATABASE_IS_POOLED"),
    ):
        call_command("migrate", verbosity=0)


# With the real PgBouncer


@pytest.fixture
def through(transactional_db: None) -> Iterator[str]:
    """The URL of this test's database, behind one session of the server."""
    if find_pgbouncer() is None:
        pytest.skip("pgbouncer is not on the PATH: apt install pgbouncer")
    settings = connection.settings_dict
    login = f"{settings['USER']}:{settings['PASSWORD']}"
    with pgbouncer(f"postgres://{login}@{settings['HOST']}:{settings['PORT']}/{settings['NAME']}", sessions=1) as url:
        yield url


@pytest.fixture
def behind(through: str) -> Iterator[None]:
    """Route this thread's connection through PgBouncer."""
    connection.close()
    address = {"HOST": "127.0.0.1", "PORT": str(urlsplit(through).port)}
    changed = {**address, "OPTIONS": options(), "DISABLE_SERVER_SIDE_CURSORS": True}
    # The connection of the tests has migrated, so it has no time limits.
    with patch.dict(connection.settings_dict, changed), patch.object(connection, "_is_bounded", new=True):
        yield
        connection.close()


@pytest.mark.e2e
def test_what_the_service_asks_leaves_nothing_in_a_session(behind: None, through: str, admin_client: Client) -> None:
    for page in ("", "classification/inference/", "webhooks/webhookdelivery/", "jobs/job/", "auth/user/"):
        assert admin_client.get(f"/admin/{page}").status_code == 200
    list(Permission.objects.iterator())
    sweep.free_lost_inferences()
    probe_disk(60)
    connection.close()
    assert list(left_behind(through, sessions=1).values()) == [[]]


@pytest.mark.e2e
def test_web_and_worker_run_behind_it(through: str, service: Service) -> None:
    behind = {"DATABASE_URL": through, "DATABASE_IS_POOLED": "1"}
    service.start("web", **behind)
    service.start("worker", **behind)
    created = service.post("v1")
    assert created.status_code == 201
    assert service.wait_for(created, "done", "fail")["status"] == "done"
    service.services.stop("worker")
    assert list(left_behind(through, sessions=1).values()) == [[]]
