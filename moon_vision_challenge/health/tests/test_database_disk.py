"""/status reports that PostgreSQL's disk is full, or that PostgreSQL accepts no writes, and says what to do."""

from unittest.mock import patch

import psycopg2
import pytest
from django.db import connection, connections

from moon_vision_challenge.classification.tests.waiting import wait_for
from moon_vision_challenge.health import checks
from moon_vision_challenge.postgresql import probe

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_S = 60


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_DATABASE_TIMEOUT_S", PATIENCE_S)


def temporary_bytes() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def test_the_probe_writes_to_the_disk_of_the_server() -> None:
    before = temporary_bytes()
    probe.probe_disk(PATIENCE_S)
    wait_for(lambda: temporary_bytes() > before + 500_000, "the server to count the file")


def test_status_says_that_the_disk_is_full_and_what_to_do() -> None:
    assert checks.STATUS["database"]().problems == {"database": None}
    full = "DO $$ BEGIN RAISE disk_full; END $$"  # what the server says when it cannot write
    with patch.object(probe, "_TAKE_ROOM", full):
        problem = checks.STATUS["database"]().problems["database"]
    assert problem is not None
    assert "disk is full" in problem
    assert "Make room" in problem


def test_a_process_is_ready_with_a_full_disk() -> None:
    with patch.object(probe, "_TAKE_ROOM", "DO $$ BEGIN RAISE disk_full; END $$"):
        assert checks.READINESS["database"]().problems == {"database": None}


def test_status_says_that_the_server_takes_no_writes_and_what_to_do() -> None:
    with patch.dict(connections.settings["default"]["OPTIONS"], options="-c default_transaction_read_only=on"):
        problem = checks.STATUS["database"]().problems["database"]
    assert problem is not None
    assert "accepts no writes" in problem
    assert "Promote it" in problem


def test_a_server_that_forbids_temporary_files_is_told_apart_from_a_full_disk() -> None:
    with patch.object(checks, "probe_disk", side_effect=psycopg2.errors.ConfigurationLimitExceeded):
        problem = checks.STATUS["database"]().problems["database"]
    assert problem == "PostgreSQL cannot write a temporary file: ConfigurationLimitExceeded."
