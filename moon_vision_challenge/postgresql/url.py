"""Reads DATABASE_URL, which takes precedence. What cannot be used is an error instead of being dropped."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

_FOR_PSYCOPG_3 = {"pool", "server_side_binding"}
_FIXED = {"ATOMIC_REQUESTS", "AUTOCOMMIT"}
_BOOLEANS = {"CONN_HEALTH_CHECKS", "DISABLE_SERVER_SIDE_CURSORS"}
_TRUTHS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def read_url(url: str) -> dict[str, Any]:
    """Return an entry for Django's DATABASES, without an engine. Its OPTIONS are what the URL specifies for libpq.

    Raises:
        ImproperlyConfigured: the URL is not for PostgreSQL, or one of its options cannot be used. The message contains
            no password.
    """
    database: dict[str, Any] = Env.db_url_config(url)
    if database.pop("ENGINE", None) != Env.DB_SCHEMES["postgres"]:
        raise ImproperlyConfigured("DATABASE_URL must begin with postgres://, because the service needs PostgreSQL.")
    for name, values in parse_qs(urlsplit(url).query, keep_blank_values=True).items():
        value = _single_value(name, values)
        if name.upper() == "CONN_MAX_AGE":
            database["CONN_MAX_AGE"] = _read_age(value)
        elif name.upper() in _BOOLEANS:
            database[name.upper()] = _read_truth(name, value)
    return database


def _single_value(name: str, values: list[str]) -> str:
    if name.upper() in _FIXED:
        raise ImproperlyConfigured(f"DATABASE_URL sets {name}, which the service decides itself. Remove it.")
    if name in _FOR_PSYCOPG_3:
        raise ImproperlyConfigured(f"DATABASE_URL sets {name}, which needs psycopg 3. The service uses psycopg2.")
    if len(values) > 1:
        raise ImproperlyConfigured(f"DATABASE_URL sets {name} {len(values)} times. Set it once.")
    if not values[0]:
        raise ImproperlyConfigured(f"DATABASE_URL sets {name} without a value. Give it one, or remove it.")
    return values[0]


def _read_age(value: str) -> int | None:
    if value.lower() == "none":
        return None  # connections stay open
    if not (value.isascii() and value.isdigit()):
        raise ImproperlyConfigured(f"DATABASE_URL sets CONN_MAX_AGE to {value!r}. Use a number of seconds, or None.")
    return int(value)


def _read_truth(name: str, value: str) -> bool:
    try:
        return _TRUTHS[value.lower()]
    except KeyError:
        raise ImproperlyConfigured(f"DATABASE_URL sets {name} to {value!r}. Use true or false.") from None
