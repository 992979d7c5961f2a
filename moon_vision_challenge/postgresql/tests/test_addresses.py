import socket
from typing import Any

import psycopg2
import pytest
from django.db import connections

from moon_vision_challenge.postgresql.addresses import with_addresses
from moon_vision_challenge.postgresql.base import DatabaseWrapper


def test_all_addresses_of_a_name_are_given_and_the_name_stays_for_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in ("192.0.2.1", "192.0.2.2")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert with_addresses({"host": "db.example", "port": 5432}) == {
        "host": "db.example,db.example",
        "hostaddr": "192.0.2.1,192.0.2.2",
        "port": 5432,
    }


@pytest.mark.parametrize(
    "parameters",
    [{}, {"host": ""}, {"host": "/run/postgresql"}, {"host": "a,b"}, {"host": "a", "hostaddr": "192.0.2.1"}],
)
def test_what_needs_no_lookup_stays_as_it_is(parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "getaddrinfo")
    assert with_addresses(parameters) == parameters


def test_a_name_without_an_address_is_an_error_of_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(psycopg2.OperationalError, match=r"'db\.example' to an address"):
        with_addresses({"host": "db.example"})


@pytest.mark.django_db
def test_a_server_is_reached_by_its_name() -> None:
    database = DatabaseWrapper({**connections.settings["default"], "HOST": "localhost"})
    with database.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    database.close()
