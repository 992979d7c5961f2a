"""The options of a new connection to PostgreSQL."""

from collections.abc import Mapping
from typing import Any

import psycopg2
from django.core.exceptions import ImproperlyConfigured
from psycopg2.extensions import make_dsn

_DJANGOS = {"assume_role", "isolation_level", "pool", "server_side_binding", "service"}
"""Options that Django removes before it connects."""

_OF_THE_SESSION = {"assume_role", "isolation_level", "options"}

ANSWER_TIMEOUT_S = "answer_timeout_s"
"""Our own option: how long a client waits for an answer before it hangs up."""

BOUNDS_OF_THE_ROLE = "bounds_of_the_role"
"""Our own option: limits in milliseconds that the server must have for this role, because a pooler forwards none."""


def connection_options(
    given: Mapping[str, Any],
    *,
    is_pooled: bool = False,
    connect_timeout_s: float,
    tcp_timeout_s: float,
    statement_timeout_s: float,
    lock_timeout_s: float,
    idle_in_transaction_timeout_s: float,
) -> dict[str, Any]:
    """Return options for Django's DATABASES. 0 turns a limit off, and `given` options take precedence.

    Args:
        is_pooled: whether a pooler gives each transaction another session. The session then cannot have the limits.

    Raises:
        ImproperlyConfigured: libpq does not know a given option, or a pooler would lose it.
    """
    if is_pooled:
        _refuse_session_state(given)
    bounds = {
        "statement_timeout": statement_timeout_s,
        "lock_timeout": lock_timeout_s,
        "idle_in_transaction_session_timeout": idle_in_transaction_timeout_s,
    }
    bounds_ms = {name: round(seconds * 1000) for name, seconds in bounds.items() if seconds}
    flags = [] if is_pooled else [f"-c {name}={value}" for name, value in bounds_ms.items()]
    # The server cannot enforce its limit while it hangs, so the client hangs up a second later.
    options: dict[str, Any] = {ANSWER_TIMEOUT_S: statement_timeout_s + 1} if statement_timeout_s else {}
    if connect_timeout_s:
        options["connect_timeout"] = max(1, round(connect_timeout_s))
    if is_pooled:
        options[BOUNDS_OF_THE_ROLE] = bounds_ms
    if tcp_timeout_s:  # if the other side is down, the kernel gives up, with or without data in transit
        options |= {"tcp_user_timeout": round(tcp_timeout_s * 1000), "keepalives_count": 3}
        options |= dict.fromkeys(("keepalives_idle", "keepalives_interval"), max(1, round(tcp_timeout_s / 4)))
    options |= {name: value for name, value in given.items() if name != "options"}
    if flags or "options" in given:  # of several flags with one name, the last wins
        options["options"] = " ".join([*flags, str(given.get("options", ""))]).strip()
    _refuse_unknown(options)
    return options


def _refuse_session_state(given: Mapping[str, Any]) -> None:
    for name in sorted(_OF_THE_SESSION & given.keys()):
        raise ImproperlyConfigured(
            f"DATABASE_URL sets {name}, which PgBouncer does not keep for a client. Remove it, or set it for the role, "
            "with ALTER ROLE."
        )


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    ours = {ANSWER_TIMEOUT_S, BOUNDS_OF_THE_ROLE}
    try:
        make_dsn(**{name: value for name, value in options.items() if name not in _DJANGOS | ours})
    except psycopg2.ProgrammingError as error:
        raise ImproperlyConfigured(f"DATABASE_URL has an option that PostgreSQL does not know: {error}") from error
