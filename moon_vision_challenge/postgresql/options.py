"""What a connection to PostgreSQL is told when it is opened."""

from collections.abc import Mapping
from typing import Any

import psycopg2
from django.core.exceptions import ImproperlyConfigured
from psycopg2.extensions import make_dsn

_DJANGOS = {"assume_role", "isolation_level", "pool", "server_side_binding", "service"}
"""Options that Django takes out before it connects."""

ANSWER_TIMEOUT_S = "answer_timeout_s"
"""The option that is our own: when a client hangs up that has waited for an answer."""


def connection_options(
    given: Mapping[str, Any],
    *,
    connect_timeout_s: float,
    tcp_timeout_s: float,
    statement_timeout_s: float,
    lock_timeout_s: float,
    idle_in_transaction_timeout_s: float,
) -> dict[str, Any]:
    """Options for Django's DATABASES. 0 switches a bound off, and what is `given` wins over it.

    Raises:
        ImproperlyConfigured: libpq does not know an option that is given.
    """
    bounds = {
        "statement_timeout": statement_timeout_s,
        "lock_timeout": lock_timeout_s,
        "idle_in_transaction_session_timeout": idle_in_transaction_timeout_s,
    }
    flags = [f"-c {name}={round(seconds * 1000)}" for name, seconds in bounds.items() if seconds]
    # The server cannot keep its bound while it hangs, so that the client hangs up a second later.
    options: dict[str, Any] = {ANSWER_TIMEOUT_S: statement_timeout_s + 1} if statement_timeout_s else {}
    if connect_timeout_s:
        options["connect_timeout"] = max(1, round(connect_timeout_s))
    if tcp_timeout_s:  # the other side is away: the kernel gives up, whether it has sent something or not
        options |= {"tcp_user_timeout": round(tcp_timeout_s * 1000), "keepalives_count": 3}
        options |= dict.fromkeys(("keepalives_idle", "keepalives_interval"), max(1, round(tcp_timeout_s / 4)))
    options |= {name: value for name, value in given.items() if name != "options"}
    if flags or "options" in given:  # the last flag of a name counts
        options["options"] = " ".join([*flags, str(given.get("options", ""))]).strip()
    _refuse_unknown(options)
    return options


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    try:
        make_dsn(**{name: value for name, value in options.items() if name not in {*_DJANGOS, ANSWER_TIMEOUT_S}})
    except psycopg2.ProgrammingError as error:
        raise ImproperlyConfigured(f"DATABASE_URL has an option that PostgreSQL does not know: {error}") from error
