import os
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg2
import pytest
import redis

from native import postgres
from native.environment import CannotRunError
from native.redis import find_server
from native.services import ServiceDiedError, Services, running

from .conftest import NO_FSYNC, PROCFILE


def query(services: Services, sql: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(services.env["DATABASE_URL"], connect_timeout=60)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def test_postgres_keeps_its_rows_over_a_stop_a_kill_and_a_new_run(run_dir: Path) -> None:
    assert postgres.is_new(run_dir)
    with running(["postgres"], run_dir=run_dir, env=NO_FSYNC, procfile=PROCFILE) as services:
        query(services, "CREATE TABLE photo (id int)")
        for number, again in enumerate((services.restart, services.kill)):
            query(services, f"INSERT INTO photo VALUES ({number})")
            again("postgres")
            if again == services.kill:
                services.start("postgres")
            services.wait_until_ready("postgres")
    assert not postgres.is_new(run_dir)
    with running(["postgres"], run_dir=run_dir, env=NO_FSYNC, procfile=PROCFILE) as services:
        assert query(services, "SELECT id FROM photo ORDER BY id") == [(0,), (1,)]


@pytest.mark.e2e
def test_a_run_folder_that_was_removed_starts_with_new_data(run_dir: Path) -> None:
    for _ in range(2):
        with running(["postgres"], run_dir=run_dir, env=NO_FSYNC, procfile=PROCFILE) as services:
            query(services, "CREATE TABLE photo (id int)")
        shutil.rmtree(run_dir)


def test_postgres_and_its_role_have_few_rights_and_need_the_password(run_dir: Path) -> None:
    with running(["postgres"], run_dir=run_dir, env=NO_FSYNC, procfile=PROCFILE) as services:
        assert psutil.Process(services.pid("postgres")).uids().real != 0
        assert query(services, "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user") == [
            (False, True)
        ]
        assert str(query(services, "SHOW server_version")[0][0]).startswith("18.")
        assert (postgres.folder(run_dir).stat().st_mode & 0o777) == 0o700
        server = f"host=127.0.0.1 port={urlsplit(services.env['DATABASE_URL']).port} dbname=postgres connect_timeout=60"
        for user in ("moon_vision", "postgres"):
            with pytest.raises(psycopg2.OperationalError, match="password"):
                psycopg2.connect(f"{server} user={user} password=guess")


@pytest.mark.e2e
def test_a_lock_that_names_another_program_is_ignored(run_dir: Path) -> None:
    with running(["postgres"], run_dir=run_dir, env=NO_FSYNC, procfile=PROCFILE) as services:
        services.kill("postgres")
        lock = postgres.folder(run_dir) / "data" / "postmaster.pid"
        old, rest = lock.read_text().split("\n", 1)
        lock.write_text(f"{os.getpid()}\n{rest}")  # as after a restart of the machine: another process, ours, has it
        assert old != str(os.getpid())
        services.start("postgres")
        services.wait_until_ready("postgres")


def test_data_of_another_major_version_is_reported_in_a_plain_sentence(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it could not write its data as PostgreSQL's account
    with running(["postgres"], run_dir=run_dir, env=NO_FSYNC, procfile=PROCFILE) as services:
        services.stop("postgres")
        (postgres.folder(run_dir) / "data" / "PG_VERSION").write_text("15\n")
        services.start("postgres")
        with pytest.raises(ServiceDiedError, match=r"was made by PostgreSQL 15, which PostgreSQL 18\.\d+ cannot read"):
            services.wait_until_ready("postgres")


@pytest.mark.e2e
def test_an_interrupted_initdb_is_made_again(run_dir: Path) -> None:
    with running(["postgres"], run_dir=run_dir, env=NO_FSYNC, procfile=PROCFILE) as services:
        services.stop("postgres")
        data = postgres.folder(run_dir) / "data"
        (data / "global" / "pg_control").unlink()
        data.rename(data.with_name("data.new"))
        services.start("postgres")
        services.wait_until_ready("postgres")
        assert query(services, "SELECT 1") == [(1,)]


def test_redis_keeps_messages_over_a_stop_and_asks_for_the_password(run_dir: Path) -> None:
    with running(["redis"], run_dir=run_dir, procfile=PROCFILE) as services:
        url = services.env["REDIS_URL"]
        with redis.Redis.from_url(url, socket_timeout=60) as client:
            client.set("message", "42")
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        stranger = redis.Redis(port=urlsplit(url).port or 0, socket_timeout=60)
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        services.restart("redis")
        services.wait_until_ready("redis")
        with redis.Redis.from_url(url, socket_timeout=60) as client:
            assert client.get("message") == b"42"


@pytest.mark.parametrize(("version", "is_used"), [("6.0.16", False), ("6.2.0", True), ("7.4.1", True)])
def test_redis_of_the_path_is_used_if_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, *, is_used: bool
) -> None:
    program = tmp_path / "redis-server"
    program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0:0'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert (find_server() == str(program)) is is_used


def test_a_server_that_the_user_names_is_used_and_none_started(run_dir: Path, tmp_path: Path) -> None:
    with running(["postgres", "redis"], run_dir=run_dir, env=NO_FSYNC, procfile=PROCFILE) as first:
        named = {name: first.env[name] for name in ("DATABASE_URL", "REDIS_URL")}
        with running(["postgres", "redis"], run_dir=tmp_path / "second", env=named, procfile=PROCFILE) as second:
            assert query(second, "SELECT 1") == [(1,)]
            with pytest.raises(KeyError):
                second.pid("postgres")


def test_a_taken_port_is_reported_before_anything_starts(run_dir: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        with (
            pytest.raises(CannotRunError, match=rf"Port {port} .* redis, is in use .* REDIS_PORT="),
            running(["postgres", "redis"], run_dir=run_dir, env={"REDIS_PORT": port}, procfile=PROCFILE),
        ):
            pytest.fail("started on a port that is taken")
    assert list((run_dir / "logs").iterdir()) == []


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "²"])
def test_an_invalid_port_is_reported(run_dir: Path, port: str) -> None:
    with (
        pytest.raises(CannotRunError, match=r"WEB_PORT .* a port is a number from 1 to 65535"),
        running([], run_dir=run_dir, env={"WEB_PORT": port}, procfile=PROCFILE),
    ):
        pytest.fail("started")


def test_secrets_are_made_once_and_readable_only_by_their_owner(run_dir: Path) -> None:
    with running([], run_dir=run_dir, procfile=PROCFILE) as first:
        key = first.env["DJANGO_SECRET_KEY"]
    with running([], run_dir=run_dir, procfile=PROCFILE) as second:
        assert second.env["DJANGO_SECRET_KEY"] == key
    for name in ("env", "secrets.json"):
        assert (run_dir / name).stat().st_mode & 0o777 == 0o600
