"""What differs behind a pooler such as PgBouncer, which gives each transaction another session of the server."""

import logging
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

_READ_BOUNDS = """
SELECT current_user, coalesce(array_agg(name ORDER BY name), '{}')
FROM pg_settings WHERE name = ANY (%s) AND setting = '0'
"""


class _Check:
    is_done = False


_check = _Check()
"""One check per process is enough, because the bounds belong to the role and outlive a connection."""


def check_bounds(connection: Any, bounds_ms: Mapping[str, int]) -> None:
    """Log a warning if the role has no time limits. Those of the settings would end with the transaction."""
    if _check.is_done:
        return
    _check.is_done = True
    with connection.cursor() as cursor:
        cursor.execute(_READ_BOUNDS, [list(bounds_ms)])
        role, missing = cursor.fetchone()
    if missing:
        statements = " ".join(f"ALTER ROLE {role} SET {name} = {bounds_ms[name]};" for name in missing)
        logger.warning("PostgreSQL has no %s for this role. Run: %s", ", ".join(missing), statements)
