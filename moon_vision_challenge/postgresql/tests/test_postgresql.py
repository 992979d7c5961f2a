"""PostgreSQL behind a proxy that makes it hang, as a stopped process would."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg2
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connections

from chaos.proxy import Manner, Proxy
from moon_vision_challenge.classification.tests.waiting import wait_for
from moon_vision_challenge.postgresql import hang
from moon_vision_challenge.postgresql.base import DatabaseWrapper
from moon_vision_challenge.postgresql.hang import HangDetector
from moon_vision_challenge.postgresql.options import connection_options
from moon_vision_challenge.postgresql.probe import NoAnswerError, probe

BOUNDS: dict[str, Any] = {
    "connect_timeout_s": 300.0,
    "tcp_timeout_s": 10.0,
    "statement_timeout_s": 2.0,
    "lock_timeout_s": 1.0,
    "idle_in_transaction_timeout_s": 60.0,
}
FAR_BOUNDS = BOUNDS | {"statement_timeout_s": 300.0, "lock_timeout_s": 300.0}
PROBE_TIMEOUT_S = hang._PROBE_TIMEOUT_S  # before conftest.py makes it longer
SOON_S = 60
"""A loaded machine needs less, and without the tested code, five minutes pass."""


@pytest.fixture
def proxy(db: None) -> Iterator[Proxy]:
    settings = connections.settings["default"]
    with Proxy(settings["HOST"], int(settings["PORT"])) as proxy:
        with (
            patch.dict(settings, HOST="127.0.0.1", PORT=str(proxy.port)),
            patch.object(hang, "_PROBE_TIMEOUT_S", PROBE_TIMEOUT_S),
        ):
            yield proxy
        proxy.set(Manner.SOUND)
        wait_for(lambda: not hang.detector.is_hanging, "the end of the hang")


@pytest.fixture
def database(proxy: Proxy) -> Iterator[DatabaseWrapper]:
    with connected(proxy, BOUNDS) as database:
        yield database


@pytest.fixture
def patient(proxy: Proxy) -> Iterator[DatabaseWrapper]:
    """A database whose own time limits are long."""
    with connected(proxy, FAR_BOUNDS) as database:
        yield database


@contextmanager
def connected(proxy: Proxy, bounds: dict[str, Any]) -> Iterator[DatabaseWrapper]:
    database = DatabaseWrapper({**connections.settings["default"], "OPTIONS": connection_options({}, **bounds)})
    with (
        patch.object(hang, "detector", HangDetector()) as detector,
        patch(f"{DatabaseWrapper.__module__}.detector", detector),
    ):
        yield database
        proxy.set(Manner.SOUND)
        wait_for(lambda: not detector.is_hanging, "the end of the hang")
    database.close()


@contextmanager
def busy_server() -> Iterator[None]:
    """Do not take a server that is slow to answer a probe, as on a loaded machine, for one that hangs."""
    with patch.object(hang, "_PROBE_TIMEOUT_S", 60):
        yield


def ask(database: DatabaseWrapper, sql: str = "SELECT 1") -> tuple[Any, float]:
    """Return the answer or the error, and the time that it took."""
    begin = time.monotonic()
    try:
        with database.cursor() as cursor:
            cursor.execute(sql)
            found: Any = cursor.fetchone()
    except OperationalError as error:
        found = error
    return found, time.monotonic() - begin


def test_the_server_gets_the_time_limits(database: DatabaseWrapper) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "tcp_user_timeout")
    with busy_server():
        assert [ask(database, f"SHOW {name}")[0][0] for name in names[:3]] == ["2s", "1s", "1min"]


def test_the_statement_that_drops_a_database_has_no_time_limit(database: DatabaseWrapper) -> None:
    with busy_server(), database._nodb_cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
        assert cursor.connection.answer_timeout_s is None


def test_a_server_that_hangs_is_suspected_after_a_second_and_given_up_after_another() -> None:
    assert (hang.SUSPICIOUS_S, PROBE_TIMEOUT_S) == (1, 1)


@pytest.mark.parametrize("manner", [Manner.HANGS, Manner.DRIPS])
def test_a_query_of_a_server_that_hangs_ends_soon(patient: DatabaseWrapper, proxy: Proxy, manner: Manner) -> None:
    with busy_server():
        assert ask(patient)[0] == (1,)
    proxy.set(manner)
    error, lasted_s = ask(patient)
    assert isinstance(error, OperationalError)
    assert lasted_s < SOON_S


def test_the_next_query_is_refused_at_once_until_the_server_answers(patient: DatabaseWrapper, proxy: Proxy) -> None:
    proxy.set(Manner.HANGS)
    ask(patient)
    with patch.object(DatabaseWrapper, "get_new_connection", side_effect=AssertionError("it connects")):
        error, _ = ask(patient)
    assert str(error) == "PostgreSQL hangs, so the query is not sent"
    proxy.set(Manner.SOUND)
    wait_for(lambda: ask(patient)[0] == (1,), "the next answer", SOON_S)


@pytest.mark.parametrize("manner", [Manner.HANGS, Manner.DRIPS])
def test_a_new_connection_to_a_server_that_hangs_ends_soon(
    patient: DatabaseWrapper, proxy: Proxy, manner: Manner
) -> None:
    proxy.set(manner)
    error, lasted_s = ask(patient)
    assert isinstance(error, OperationalError)
    assert lasted_s < SOON_S


def test_a_slow_query_of_a_server_that_answers_is_not_cut(patient: DatabaseWrapper) -> None:
    with busy_server():
        assert ask(patient, "SELECT pg_sleep(1.1)")[0] == ("",)


def test_a_slow_query_of_a_server_that_answers_is_the_servers_to_end(database: DatabaseWrapper) -> None:
    with busy_server():
        error, lasted_s = ask(database, "SELECT pg_sleep(600)")
    assert "statement timeout" in str(error)
    assert 1.9 < lasted_s < SOON_S


@pytest.mark.parametrize("manner", [Manner.HANGS, Manner.DRIPS])
def test_one_session_that_hangs_alone_is_left_a_second_after_the_servers_own_bound(
    database: DatabaseWrapper, proxy: Proxy, manner: Manner
) -> None:
    with busy_server():
        ask(database)
    with patch.object(HangDetector, "_is_silent", return_value=False):  # other sessions are answered
        proxy.set(manner)
        error, lasted_s = ask(database)
    assert "no answer within 3 s" in str(error)
    assert 2.9 < lasted_s < SOON_S


def test_a_lock_that_somebody_keeps_is_not_waited_for_longer_than_its_bound(database: DatabaseWrapper) -> None:
    holder = DatabaseWrapper(database.settings_dict)
    with busy_server():
        ask(holder, "SELECT pg_advisory_lock(1)")
        error, lasted_s = ask(database, "SELECT pg_advisory_lock(1)")
    holder.close()
    assert "lock timeout" in str(error)
    assert lasted_s < SOON_S


def test_migrations_are_not_cut(database: DatabaseWrapper) -> None:
    with busy_server():
        ask(database)
        database.prepare_database()
        assert ask(database, "SELECT pg_sleep(3.5)")[0] == ("",)
    database.close()
    with busy_server():
        assert ask(database, "SHOW statement_timeout")[0] == ("0",)
        assert ask(database, "SHOW lock_timeout")[0] == ("0",)


def test_a_probe_of_a_server_that_is_gone_says_so_at_once(proxy: Proxy) -> None:
    with patch.dict(connections.settings["default"], PORT="9"), pytest.raises(psycopg2.OperationalError) as caught:
        probe(1)
    assert not isinstance(caught.value, NoAnswerError)


def test_a_server_that_takes_no_writes_is_unavailable_and_its_connection_is_given_up(database: DatabaseWrapper) -> None:
    database.settings_dict["CONN_MAX_AGE"] = 60
    with busy_server():
        ask(database, "SELECT set_config('default_transaction_read_only', 'on', false)")
        error, _ = ask(database, "CREATE TABLE never (id int)")
    assert "read-only transaction" in str(error)
    database.close_if_unusable_or_obsolete()
    assert database.connection is None


def test_a_probe_tells_whether_the_server_takes_writes(proxy: Proxy) -> None:
    assert probe(60)
    with patch.dict(connections.settings["default"]["OPTIONS"], options="-c default_transaction_read_only=on"):
        assert not probe(60)


def test_a_name_that_cannot_be_looked_up_in_time_counts_as_silence(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(_: float) -> bool:
        time.sleep(0.2)
        raise psycopg2.OperationalError("could not translate host name")

    monkeypatch.setattr(hang, "_PROBE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(hang, "probe", late)
    assert HangDetector._is_silent()


def test_it_hangs_for_as_long_as_the_probe_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    detector, release = HangDetector(), threading.Event()
    monkeypatch.setattr(HangDetector, "_is_silent", lambda _: not release.wait(30))
    now = time.monotonic()
    detector.trip()
    monkeypatch.setattr(time, "monotonic", lambda: now + 3600)
    assert detector.is_hanging
    release.set()
    monkeypatch.undo()
    wait_for(lambda: not detector.is_hanging, "the end of the hang")


def test_a_hundred_threads_that_wait_start_one_probe(proxy: Proxy) -> None:
    detector = HangDetector()
    all_have_waited = threading.Event()
    with patch.object(HangDetector, "_is_silent", side_effect=lambda: not all_have_waited.wait(SOON_S)) as is_silent:
        threads = [threading.Thread(target=detector.suspect) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        all_have_waited.set()
        wait_for(lambda: not any(thread.name == "probe-db" for thread in threading.enumerate()), "the probe's end")
    assert is_silent.call_count == 1


def test_the_options_of_the_url_win() -> None:
    given = {"connect_timeout": 7, "sslmode": "require", "options": "-c statement_timeout=5 -c search_path=mine"}
    options = connection_options(given, **BOUNDS)
    assert (options["connect_timeout"], options["sslmode"], options["tcp_user_timeout"]) == (7, "require", 10_000)
    assert options["options"].endswith("-c statement_timeout=5 -c search_path=mine")
    assert options["options"].startswith("-c statement_timeout=2000 -c lock_timeout=1000")


def test_without_time_limits_the_server_gets_no_options() -> None:
    no_bounds: dict[str, Any] = dict.fromkeys(BOUNDS, 0.0)
    assert connection_options({}, **no_bounds) == {}


def test_an_unknown_option_is_an_error_at_startup() -> None:
    with pytest.raises(ImproperlyConfigured, match="sslmod"):
        connection_options({"sslmod": "require"}, **BOUNDS)


def test_the_service_does_not_start_with_an_unknown_option() -> None:
    settings = connections.settings["default"]
    url = f"postgres://u:p@{settings['HOST']}:{settings['PORT']}/n?sslmod=require"
    code = f"import os; os.environ['DATABASE_URL'] = {url!r}; import django; django.setup()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode != 0
    assert "DATABASE_URL has an option that PostgreSQL does not know" in result.stderr
