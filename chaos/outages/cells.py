"""Every way in which each neighbour fails."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import psycopg2
import requests
from redis import Redis

from chaos import faults
from chaos.outages.stage import URLS, Disk, Stage
from chaos.proxy import Manner
from native.environment import CannotRunError, free_port
from native.process import poll
from native.services import Services

Fault = Callable[[Stage], None]

NOT_NEEDED_BY_V0 = ("postgres", "redis", "disk", "s3")
REPLACE_EVERY_S = 2.0
START_TIMEOUT_S = 60


@dataclass(frozen=True)
class Cell:
    """One way in which one neighbour fails."""

    neighbour: str
    manner: str
    begin: Fault
    end: Fault
    every_s: float | None = None
    """The pause after which a failure that does not last begins again, while the clients send requests."""


def cells(stage: Stage) -> Iterator[Cell]:
    """Yield the cells that this stage can try."""
    if stage.s3 is None:
        yield from _of_services(stage)
        if "media" in stage.disks:
            media = stage.disks["media"]
            yield Cell("disk", "full", lambda _: media.leave(64 * 1024), lambda _: media.empty())
            yield Cell("disk", "read-only", lambda _: media.remount("ro"), lambda _: media.remount("rw"))
    else:
        yield from _of_s3(stage)
        yield from _of_names(stage)


def _of_services(stage: Stage) -> Iterator[Cell]:
    for name in URLS:
        yield Cell(name, "gone", _strike(faults.kill, name), _strike(_start, name))
        yield Cell(name, "hangs", _strike(faults.halt, name), _strike(faults.resume, name))
        yield from _on_the_wire(name)
        if name == "postgres":
            yield from _of_postgres(stage)
        if name == "redis":
            yield Cell("redis", "full", _limit_memory(1), _limit_memory(0))
    yield Cell("model_server", "replaced", _replace, lambda _: None, every_s=REPLACE_EVERY_S)


def _on_the_wire(name: str) -> Iterator[Cell]:
    yield Cell(name, "slow", _set(name, Manner.SLOW), _set(name, Manner.SOUND))
    yield Cell(name, "drips", _set(name, Manner.DRIPS), _set(name, Manner.SOUND))
    yield Cell(name, "wrong", _set(name, Manner.WRONG), _set(name, Manner.SOUND))


def _of_postgres(stage: Stage) -> Iterator[Cell]:
    limit = _Alteration("CONNECTION LIMIT 0", "CONNECTION LIMIT -1")
    yield Cell("postgres", "no connections", limit.begin, limit.end)
    name = "default_transaction_read_only"
    read_only = _Alteration(f"SET {name} = on", f"SET {name} = off")
    yield Cell("postgres", "read-only", read_only.begin, read_only.end)
    if "postgres" in stage.disks:
        disk = stage.disks["postgres"]
        yield Cell("postgres", "disk full", lambda _: disk.fill(), partial(_empty_and_restart, disk))


def _of_s3(stage: Stage) -> Iterator[Cell]:
    assert stage.s3
    server = stage.s3
    yield Cell("s3", "gone", lambda _: server.kill(), lambda _: server.start())
    yield Cell("s3", "hangs", lambda _: server.halt(), lambda _: server.resume())
    yield from _on_the_wire("s3")
    if "s3" in stage.disks:
        disk = stage.disks["s3"]
        yield Cell("s3", "full", lambda _: disk.fill(), lambda _: disk.empty())


def _of_names(stage: Stage) -> Iterator[Cell]:
    if not stage.name_server:
        return
    names = stage.name_server
    yield Cell("names", "gone", _unnamed(names.end), lambda _: names.start_again())
    for manner in (Manner.HANGS, Manner.SLOW, Manner.WRONG):
        begin = _unnamed(partial(names.set, manner))
        yield Cell("names", manner.value, begin, lambda _: names.set(Manner.SOUND))


def _set(name: str, manner: Manner) -> Fault:
    return lambda stage: stage.proxies[name].set(manner)


def _strike(action: Callable[[Services, str], None], name: str) -> Fault:
    return lambda stage: action(stage.services, name)


def _start(services: Services, name: str) -> None:
    services.start(name, {"POSTGRES_OPTIONS": "--max_wal_size=64MB --min_wal_size=32MB"})


def _limit_memory(limit: int) -> Fault:
    def set_limit(stage: Stage) -> None:
        with Redis.from_url(stage.services.env["REDIS_URL"], socket_timeout=5) as client:
            client.config_set("maxmemory", limit)

    return set_limit


class _Alteration:
    """Changes the database and back, and makes its clients reconnect each time. Its own connection stays open."""

    def __init__(self, change: str, back: str) -> None:
        self._change, self._back = change, back

    def begin(self, stage: Stage) -> None:
        url = stage.services.env["DATABASE_URL"]
        self._connection = psycopg2.connect(url, options="-c default_transaction_read_only=off")
        self._connection.autocommit = True
        self._alter(self._change)

    def end(self, _: Stage) -> None:
        self._alter(self._back)
        self._connection.close()

    def _alter(self, what: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {self._connection.info.dbname} {what}")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def _empty_and_restart(disk: Disk, stage: Stage) -> None:
    """Empty the disk, and restart PostgreSQL if it ended when it could not write its log."""
    disk.empty()
    if "postgres" in stage.services.dead():
        stage.services.kill("postgres")
        _start(stage.services, "postgres")


def _unnamed(action: Callable[[], None]) -> Fault:
    """Also break the open connections, so that no client can go on without a name server."""

    def begin(stage: Stage) -> None:
        action()
        for proxy in stage.proxies.values():
            proxy.cut()

    return begin


def _replace(stage: Stage) -> None:
    """Start a second model server, send new connections there, and stop the first one as a deployment does."""
    old = next(
        name for name in stage.services.commands if name.startswith("model_server") and stage.services.is_running(name)
    )
    new = "model_server" if old != "model_server" else "model_server_2"
    stage.services.commands[new] = stage.services.commands[old]
    port = free_port()
    stage.services.start(new, {"MODEL_SERVER_PORT": str(port)})
    if not poll(lambda: _serves(port), START_TIMEOUT_S):
        raise CannotRunError("The new model server does not answer")
    stage.proxies["model_server"].lead_to(port)
    stage.services.stop(old)


def _serves(port: int) -> bool:
    with suppress(requests.RequestException):
        return requests.get(f"http://127.0.0.1:{port}/v1/models/efficientnet_lite0", timeout=5).ok
    return False
