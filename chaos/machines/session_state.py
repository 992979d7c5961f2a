"""Finds what clients have left behind in the PostgreSQL sessions that a pooler shares among them."""

from contextlib import ExitStack, closing
from typing import Any

import psycopg2

_KEPT_BY_PGBOUNCER = ["DateStyle", "TimeZone", "application_name", "client_encoding", "standard_conforming_strings"]
"""PgBouncer sets these for each client: https://www.pgbouncer.org/config.html#track_extra_parameters"""

_STATE = """
SELECT pg_backend_pid(), array(
    SELECT format('%%s = %%s', name, setting) FROM pg_settings WHERE source = 'session' AND name <> ALL (%s)
    UNION ALL SELECT 'advisory lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'cursor ' || name FROM pg_cursors
    UNION ALL SELECT 'prepared statement ' || name FROM pg_prepared_statements
    UNION ALL SELECT 'listens to ' || channel FROM pg_listening_channels() AS channel
    UNION ALL SELECT 'temporary table ' || relname FROM pg_class
              WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()
)
"""


def left_behind(url: str, *, sessions: int) -> dict[int, list[str]]:
    """Return what is left in each session, by process id. Open transactions hold all sessions at the same time."""
    found: dict[int, list[str]] = {}
    with ExitStack() as stack:
        for _ in range(sessions):
            connection: Any = stack.enter_context(closing(psycopg2.connect(url, connect_timeout=60)))
            with connection.cursor() as cursor:
                cursor.execute(_STATE, [_KEPT_BY_PGBOUNCER])
                pid, state = cursor.fetchone()
            found[pid] = state
        if len(found) != sessions:
            raise AssertionError(f"{len(found)} sessions instead of {sessions}")
    return found
