"""What the service needs to work. Each check returns None if it is there, else a sentence for the operator."""

from collections.abc import Callable

from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from redis.exceptions import RedisError

from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import ClassificationError
from moon_vision_challenge.classification.serving import client


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
    try:
        if any(client.is_available(model_type) for model_type in dispatcher):
            return None
    except ClassificationError as error:
        return f"The model server does not answer: {type(error).__name__}"
    return "The model server serves none of the registered models."


CHECKS: dict[str, Callable[[], str | None]] = {
    "database": check_database,
    "migrations": check_migrations,
    "redis": check_redis,
    "model_server": check_model_server,
}
