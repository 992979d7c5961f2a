"""Logging in to the admin: how many attempts are allowed, and how long a session lasts."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django import Settings

from moon_vision_challenge.accounts.rates import parse_rates
from moon_vision_challenge.tests.clock import Clock
from moon_vision_challenge.web.throttling import store

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/?next=/admin/accounts/"
HOUR_S = 3600


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Clock:
    """Stop the clock of the limits, and raise the limit of an address, so that only the limit of a name applies."""
    settings.API_LOGIN_RATE = parse_rates("1000/s")
    clock = Clock(1_800_000_000.0)
    monkeypatch.setattr(store, "clock", clock)
    return clock


Attempt = Callable[..., int]


@pytest.fixture
def attempt(admin_user: User) -> Attempt:
    def log_in(password: str = "wrong", username: str = "admin", address: str = "192.0.2.1") -> int:  # noqa: S107
        form = {"username": username, "password": password}
        return Client().post(LOGIN, form, REMOTE_ADDR=address).status_code

    return log_in


def count_until_locked(attempt: Attempt, **who: str) -> int:
    for count in range(200):
        if attempt(**who) == 429:
            return count
    raise AssertionError("it is never locked")


@pytest.mark.e2e
def test_the_lock_grows_slowly(attempt: Attempt, clock: Clock) -> None:
    tried = [count_until_locked(attempt)]
    for _ in range(48):
        clock.now_s += HOUR_S / 2
        tried.append(count_until_locked(attempt))
    assert tried[0] == 10
    assert tried[1] <= 10 + 1
    assert sum(tried[1:]) / 24 <= 10, "an hour of trying gives fewer and fewer attempts"
    assert max(tried[-10:]) <= 3
    assert sum(tried) <= 205


def test_a_stranger_who_knows_the_name_locks_nobody_else_out(attempt: Attempt) -> None:
    count_until_locked(attempt)
    assert attempt("password") == 429
    assert attempt("password", address="192.0.2.2") == 302


def test_a_site_shares_its_ipv6_network(attempt: Attempt) -> None:
    count_until_locked(attempt, address="2001:db8::1")
    assert attempt(address="2001:db8::ffff:1") == 429
    assert attempt(address="2001:db8:0:1::1") == 200


@pytest.mark.parametrize("username", ["ADMIN", " admin", "\uff41dmin"])
def test_other_spellings_of_a_name_are_the_same_name(attempt: Attempt, username: str) -> None:
    count_until_locked(attempt)
    assert attempt(username=username) == 429


@pytest.mark.parametrize("username", ["", "x" * 100_000, "\0", "\udcff"])
def test_any_text_may_be_a_name(attempt: Attempt, username: str) -> None:
    assert attempt(username=username.encode("utf-8", "replace").decode()) == 200


def test_a_login_that_succeeds_counts_nothing(attempt: Attempt) -> None:
    for _ in range(50):
        assert attempt("password") == 302


def test_failures_before_a_success_are_forgiven(attempt: Attempt) -> None:
    for _ in range(9):
        attempt()
    assert attempt("password") == 302
    assert count_until_locked(attempt) == 10


def test_a_form_without_fields_is_counted_and_refused(attempt: Attempt) -> None:
    assert Client().post(LOGIN).status_code == 200


@pytest.fixture
def session(admin_user: User) -> Client:
    client = Client()
    client.post(LOGIN, {"username": "admin", "password": "password"})
    return client


def test_a_session_ends_with_the_browser_and_after_eight_hours(session: Client) -> None:
    cookie = session.cookies["sessionid"]
    assert (cookie["max-age"], cookie["expires"], cookie["httponly"], cookie["samesite"]) == ("", "", True, "Lax")
    assert session.session.get_expiry_age() == 8 * HOUR_S


def test_a_request_does_not_prolong_a_session(session: Client) -> None:
    before = Session.objects.get().expire_date
    response = session.get("/admin/")
    assert (response.status_code, "sessionid" in response.cookies) == (200, False)
    assert Session.objects.get().expire_date == before


def test_a_session_gets_a_new_key_at_login_and_ends_at_logout(admin_user: User) -> None:
    client = Client()
    client.post(LOGIN, {"username": "admin", "password": "password"})
    first = client.cookies["sessionid"].value
    client.post("/admin/logout/")
    assert client.get("/admin/").status_code == 302
    client.post(LOGIN, {"username": "admin", "password": "password"})
    assert client.cookies["sessionid"].value != first
