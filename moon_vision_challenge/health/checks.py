"""What the service needs to work. Each check returns None if it is there, else a sentence for the operator."""

from collections.abc import Callable

from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from redis.exceptions import RedisError

from moon_vision_challenge.classification import catalogue
from moon_vision_challenge.classification.catalogue import ModelState


def check_database() -> str | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return f"PostgreSQL does not answer: {type(error).__name__}"
    return None


def check_migrations() -> str | None:
    try:
        executor = MigrationExecutor(connection)
    except DatabaseError as error:
        return f"PostgreSQL does not answer: {type(error).__name__}"
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(pending)} migrations are not applied; run: python manage.py migrate" if pending else None


def check_redis() -> str | None:
    try:
        cache.get("health")
    except RedisError as error:
        return f"Redis does not answer: {type(error).__name__}"
    return None


def check_model_server() -> str | None:
    models = catalogue.list_models()
    if any(model.is_ready for model in models):
        return None
    if all(model.state == ModelState.UNKNOWN for model in models):
        return "The model server does not answer."
    return "The model server serves none of the registered models."


CHECKS: dict[str, Callable[[], str | None]] = {
    "database": check_database,
    "migrations": check_migrations,
    "redis": check_redis,
    "model_server": check_model_server,
}
