"""Django's PostgreSQL backend, except that it does not wait for a server that hangs. Use it as ENGINE in DATABASES.

Migrations run without time limits, and so do the statements that create and drop a test's database.
"""

import time
from typing import Any

from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, OperationalError
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg2 import errors, extensions

from moon_vision_challenge.postgresql.addresses import with_addresses
from moon_vision_challenge.postgresql.hang import SUSPICIOUS_S, BoundedConnection, detector, wait
from moon_vision_challenge.postgresql.options import ANSWER_TIMEOUT_S, BOUNDS_OF_THE_ROLE
from moon_vision_challenge.postgresql.pooled import check_bounds

extensions.set_wait_callback(wait)

_LIFT_BOUNDS = "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0"


class ErrorTranslator(DatabaseErrorWrapper):
    """Translates errors as Django does, but a server that accepts no writes is unavailable, not an internal error."""

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if isinstance(error, errors.ReadOnlySqlTransaction):
            # After a failover, a new connection leads to the server that accepts writes.
            self.wrapper.close_at = 0  # type: ignore[attr-defined]  # the stubs leave it out
            raise OperationalError(*error.args).with_traceback(traceback) from error
        super().__exit__(kind, error, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    """Raises OperationalError at once while the server is known to hang."""

    def __init__(self, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS) -> None:
        super().__init__(settings_dict, alias)
        # Creating or dropping a database takes long, and new connections to it wait meanwhile.
        self._is_bounded = alias != NO_DB_ALIAS

    @cached_property
    def wrap_database_errors(self) -> ErrorTranslator:
        return ErrorTranslator(self)

    @property
    def _is_pooled(self) -> bool:
        """Whether the next transaction may run in another session of the server."""
        return BOUNDS_OF_THE_ROLE in self.settings_dict["OPTIONS"]

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        for ours in (ANSWER_TIMEOUT_S, BOUNDS_OF_THE_ROLE):
            params.pop(ours, None)
        return {**params, "connection_factory": BoundedConnection}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        begin = time.monotonic()
        try:
            connection = super().get_new_connection(with_addresses(conn_params))
        except self.Database.OperationalError:
            if time.monotonic() - begin > SUSPICIOUS_S:  # for example, because no name server has answered
                detector.trip()
            raise
        connection.answer_timeout_s = self.settings_dict["OPTIONS"].get(ANSWER_TIMEOUT_S)
        return connection

    def init_connection_state(self) -> None:
        super().init_connection_state()
        if not self._is_bounded:
            self._lift_bounds()
        elif self._is_pooled:
            check_bounds(self.connection, self.settings_dict["OPTIONS"][BOUNDS_OF_THE_ROLE])

    def prepare_database(self) -> None:
        """Lift the time limits before migrations run. Raises CommandError behind a pooler."""
        if self._is_pooled:
            raise CommandError(
                "Migrations lift the time limits of their session, and PgBouncer would give that session to others. "
                "Run migrate with a DATABASE_URL that leads to PostgreSQL itself, and without DATABASE_IS_POOLED."
            )
        super().prepare_database()
        self._is_bounded = False
        self.ensure_connection()
        self._lift_bounds()

    def _lift_bounds(self) -> None:
        assert self.connection is not None  # noqa: S101  # for mypy
        self.connection.answer_timeout_s = None
        with self.connection.cursor() as cursor:
            cursor.execute(_LIFT_BOUNDS)

    def _cursor(self, name: str | None = None) -> Any:
        if self._is_bounded and detector.is_hanging:
            raise OperationalError("PostgreSQL hangs, so the query is not sent")
        return super()._cursor(name)  # type: ignore[misc]  # the stubs leave it out
