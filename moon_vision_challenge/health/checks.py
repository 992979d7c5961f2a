"""Checks what the service needs to work. Each check examines one dependency, in a separate thread."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import psycopg2
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from redis.exceptions import RedisError

from moon_vision_challenge.classification import catalogue
from moon_vision_challenge.classification.catalogue import CatalogueEntry, ModelState
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.media_store import media_store, stored_bytes
from moon_vision_challenge.classification.queue.routing import inference_queues
from moon_vision_challenge.health import sightings
from moon_vision_challenge.postgresql.probe import probe, probe_disk

_DATABASE_TIMEOUT_S = 1.0
_READ_ONLY = (
    "PostgreSQL accepts no writes: it is a replica, or set to read only. "
    "Promote it, or point DATABASE_URL at the server that accepts writes."
)
_DISK_FULL = (
    "PostgreSQL's disk is full, so v1 accepts no requests, and workers cannot store results. "
    "Make room on the disk, or enlarge it. Accepted inferences are then processed."
)


@dataclass(frozen=True)
class Findings:
    """What one check found."""

    problems: Mapping[str, str | None] = field(default_factory=dict)
    """Name → a sentence for the operator, or None if all is well."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """More information for the operator."""


Check = Callable[[], Findings]


def check_database() -> Findings:
    try:
        takes_writes = probe(_DATABASE_TIMEOUT_S)
    except psycopg2.Error as error:
        return Findings({"database": f"PostgreSQL does not answer: {type(error).__name__}."})
    problem = None if takes_writes else _READ_ONLY
    return Findings({"database": problem})


def check_database_and_its_disk() -> Findings:
    """Check the database and its disk. Only for operators, because a process can serve even with a full disk."""
    found = check_database()
    if found.problems["database"]:
        return found
    try:
        probe_disk(_DATABASE_TIMEOUT_S)
    except psycopg2.errors.DiskFull:
        return Findings({"database": _DISK_FULL})
    except psycopg2.Error as error:
        return Findings({"database": f"PostgreSQL cannot write a temporary file: {type(error).__name__}."})
    return found


PENDING = "migrations_pending"
"""The fact that keeps a process from serving. A late check does not establish it."""


class MigrationsCheck:
    """Queries PostgreSQL until all migrations are applied, and then remembers that they are."""

    def __init__(self) -> None:
        self.are_applied = False

    def __call__(self) -> Findings:
        pending = 0 if self.are_applied else self._count_pending()
        self.are_applied = pending == 0
        problem = f"{pending} migrations are not applied. Run: python manage.py migrate" if pending else None
        return Findings({"migrations": problem}, {PENDING: pending} if pending else {})

    def _count_pending(self) -> int | None:
        try:
            executor = MigrationExecutor(connection)
            return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        except DatabaseError:
            return None  # unknown; the database check reports why
        finally:
            connection.close()  # this thread's


check_migrations = MigrationsCheck()


def check_redis() -> Findings:
    """Write a key, because a Redis at its memory limit still answers reads."""
    try:
        with sightings.connect() as client:
            client.set("moon_vision:health", 1, ex=60)
    except RedisError as error:
        return Findings({"redis": f"Redis accepts no writes: {type(error).__name__}."})
    return Findings({"redis": None})


_MODEL_PROBLEMS = {
    ModelState.AVAILABLE: None,
    ModelState.LOADING: "The model server is loading this model.",
    ModelState.UNAVAILABLE: "The model server does not serve this model.",
    ModelState.UNKNOWN: "The model server does not answer.",
}


def check_models() -> Findings:
    models = catalogue.list_models()
    problems = {model_name(model): _MODEL_PROBLEMS[model.state] for model in models}
    return Findings(problems, {"models": {model.model_type: model.state.value for model in models}})


def model_name(model: CatalogueEntry) -> str:
    return f"model:{model.model_type}"


def check_media() -> Findings:
    try:
        free_bytes: int | None = media_store.check()
    except StorageUnavailableError as error:
        return Findings({"media": f"{error.detail}"})
    stored = _stored_bytes() if settings.MEDIA_MAX_BYTES else None
    facts = {"media_free_bytes": free_bytes, "media_stored_bytes": stored}
    is_full = stored is not None and stored >= settings.MEDIA_MAX_BYTES
    problem = "The image store holds as much as MEDIA_MAX_BYTES allows." if is_full else None
    return Findings({"media": problem}, {name: value for name, value in facts.items() if value is not None})


def _stored_bytes() -> int | None:
    try:
        return stored_bytes.stored()
    except RedisError:
        return None  # unknown; the Redis check reports it


def check_workers() -> Findings:
    """Check whether each queue has a worker. Unknown while Redis is unavailable."""
    queues = {queue.name for queue in settings.CELERY_TASK_QUEUES} | inference_queues()
    try:
        unseen = sightings.find_unseen([sightings.queue(name) for name in sorted(queues)])
    except RedisError:
        return Findings({"workers": "Not known: Redis does not answer."})
    names = ", ".join(name.removeprefix("queue:") for name in unseen)
    problem = f"No worker has been seen for {sightings.lifetime_s()} s in these queues: {names}." if unseen else None
    return Findings({"workers": problem})


def check_beat() -> Findings:
    try:
        unseen = sightings.find_unseen([sightings.BEAT])
    except RedisError:
        return Findings({"beat": "Not known: Redis does not answer."})
    problem = f"Beat has not been seen for {sightings.lifetime_s()} s." if unseen else None
    return Findings({"beat": problem})


READINESS: dict[str, Check] = {
    "database": check_database,
    "migrations": check_migrations,
    "models": check_models,
}
STATUS: dict[str, Check] = {
    **READINESS,
    "database": check_database_and_its_disk,
    "redis": check_redis,
    "media": check_media,
    "workers": check_workers,
    "beat": check_beat,
}
