"""Sends a query to PostgreSQL over a new connection, with a limit on the wait for the answer."""

import select
import time
from typing import Any

import psycopg2
from django.db import connection
from psycopg2 import extensions

from moon_vision_challenge.postgresql.addresses import with_addresses


class NoAnswerError(psycopg2.OperationalError):
    """PostgreSQL did not answer in time."""


_TAKES_WRITES = "SELECT current_setting('transaction_read_only') = 'off'"

# More rows than work_mem holds go to a temporary file, here of a megabyte. Neither a table nor a log is written. LOCAL,
# because behind a pooler, another client gets the session next.
_TAKE_ROOM = "SET LOCAL work_mem = '64kB'; SELECT count(*) FROM generate_series(1, 50000)"


def probe(timeout_s: float) -> bool:
    """Connect, send a query, and disconnect. Returns whether the server accepts writes, which a replica does not.

    Raises:
        NoAnswerError: no answer within `timeout_s`.
        psycopg2.OperationalError: the server does not run, or refuses the connection.
    """
    return bool(_ask(_TAKES_WRITES, timeout_s))


def probe_disk(timeout_s: float) -> None:
    """Write a small temporary file.

    Raises:
        psycopg2.errors.DiskFull: the server's disk has no room.
        psycopg2.OperationalError: as in `probe`.
    """
    _ask(_TAKE_ROOM, timeout_s)


def _ask(sql: str, timeout_s: float) -> Any:
    deadline = time.monotonic() + timeout_s
    asked = psycopg2.connect(**with_addresses(connection.get_connection_params()), async_=True)
    try:
        wait_until(asked, deadline)
        with asked.cursor() as cursor:
            cursor.execute(sql)
            wait_until(asked, deadline)
            (answer,) = cursor.fetchone()
            return answer
    finally:
        asked.close()


def wait_until(asked: extensions.connection, deadline: float) -> None:
    """Wait until an asynchronous connection is done. `deadline` is a value of time.monotonic()."""
    while (state := asked.poll()) != extensions.POLL_OK:
        event = select.POLLIN if state == extensions.POLL_READ else select.POLLOUT
        sockets = select.poll()
        sockets.register(asked.fileno(), event)
        if not sockets.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise NoAnswerError("PostgreSQL did not answer in time")
