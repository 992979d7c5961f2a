"""Limits on a real Redis. The clock stands still unless a test moves it."""

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.accounts.rates import parse_rates
from moon_vision_challenge.tests.clock import Clock
from moon_vision_challenge.web.tests.limited import V0, V1, fields, post

READ = "/api/v1/models/"

pytestmark = pytest.mark.usefixtures("clock")


def test_the_request_above_the_rate_is_429_and_says_when_to_come_back(client: APIClient, clock: Clock) -> None:
    assert [post(client).status_code for _ in range(32)] == [400] * 32
    refused = post(client)
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert refused["Retry-After"] == "1"
    clock.now_s += int(refused["Retry-After"])
    assert post(client).status_code == 400


def test_a_burst_is_followed_by_the_sustained_rate(client: APIClient, clock: Clock, settings: Settings) -> None:
    settings.API_ANON_RATE = parse_rates("10/s")
    accepted = 0
    for _ in range(200):  # 10 s
        accepted += post(client).status_code == 400
        clock.now_s += 0.05
    assert accepted == 10 + 99  # the burst, and 10 a second


def test_several_rates_apply_together(client: APIClient, clock: Clock, settings: Settings) -> None:
    settings.API_ANON_RATE = parse_rates("5/s,12/h")
    statuses = []
    for _ in range(3):
        statuses += [post(client).status_code for _ in range(6)]
        clock.now_s += 1
    assert statuses == [400] * 5 + [429] + [400] * 5 + [429] + [400] * 2 + [429] * 4
    assert int(post(client)["Retry-After"]) > 200


def test_a_refused_request_takes_nothing(client: APIClient, clock: Clock, settings: Settings) -> None:
    settings.API_ANON_RATE = parse_rates("2/s,100/h")
    for _ in range(49):
        post(client)
    assert fields(post(client))["v0-address-3600s"]["r"] == "98"
    clock.now_s += 1
    assert post(client).status_code == 400


def test_addresses_are_counted_apart(client: APIClient) -> None:
    for _ in range(32):
        post(client, REMOTE_ADDR="192.0.2.1")
    assert post(client, REMOTE_ADDR="192.0.2.1").status_code == 429
    assert post(client, REMOTE_ADDR="192.0.2.2").status_code == 400


def test_an_ipv6_network_is_one_client(client: APIClient) -> None:
    for number in range(32):
        post(client, REMOTE_ADDR=f"2001:db8::{number:x}")
    assert post(client, REMOTE_ADDR="2001:db8::ffff").status_code == 429
    assert post(client, REMOTE_ADDR="2001:db8:0:1::1").status_code == 400


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP"])
@pytest.mark.parametrize("num_proxies", [0, 1])
def test_a_client_cannot_choose_its_address_by_a_header(
    client: APIClient, settings: Settings, header: str, num_proxies: int
) -> None:
    settings.NUM_PROXIES = num_proxies
    appended = ", 203.0.113.5" if num_proxies and header == "HTTP_X_FORWARDED_FOR" else ""
    for number in range(32):
        post(client, **{header: f"192.0.2.{number}{appended}"})
    assert post(client, **{header: f"192.0.2.99{appended}"}).status_code == 429


def test_polling_takes_nothing_from_posting(client: APIClient) -> None:
    for _ in range(60):
        assert client.get(READ).status_code == 200
    assert [post(client).status_code for _ in range(32)] == [400] * 32
    assert post(client).status_code == 429
    assert client.get(READ).status_code == 200
    assert post(client, V1).status_code == 400  # v0 and v1 are counted apart


def test_reads_have_a_limit_too(client: APIClient, settings: Settings) -> None:
    settings.API_ANON_READ_RATE = parse_rates("3/s")
    assert [client.options(V0).status_code for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize("path", ["/nothing/", "/api/nothing/", "/media/inferences/2026/01/02/a.jpg"])
def test_addresses_that_do_not_exist_are_limited(client: APIClient, settings: Settings, path: str) -> None:
    settings.API_ANON_READ_RATE = parse_rates("3/s")
    assert [client.get(path).status_code for _ in range(4)] == [404, 404, 404, 429]


def test_probes_are_never_refused(client: APIClient, settings: Settings) -> None:
    settings.API_ANON_READ_RATE = parse_rates("1/s")
    assert {client.get("/livez").status_code for _ in range(5)} == {200}


@pytest.mark.django_db
def test_attempts_to_log_in_are_limited_by_address(settings: Settings) -> None:
    client = Client()
    form = {"username": "admin", "password": "wrong"}
    assert [client.post("/admin/login/", form).status_code for _ in range(11)] == [200] * 10 + [429]
    assert client.get("/admin/login/").status_code == 200
    assert client.post("/admin/login/", form, REMOTE_ADDR="192.0.2.9").status_code == 200


# Headers


def test_every_answer_tells_the_limits(client: APIClient, settings: Settings) -> None:
    settings.API_ANON_RATE = parse_rates("2/s,100/h")
    first, second, refused = (post(client) for _ in range(3))
    for response in (first, second, refused):
        assert fields(response, "RateLimit-Policy") == {
            "v0-address-1s": {"q": "2", "w": "1"},
            "v0-address-3600s": {"q": "100", "w": "3600"},
        }
    assert [fields(each)["v0-address-1s"]["r"] for each in (first, second, refused)] == ["1", "0", "0"]
    assert [fields(each)["v0-address-3600s"]["r"] for each in (first, second, refused)] == ["99", "98", "98"]
    assert fields(first)["v0-address-3600s"]["t"] == "36"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/api/v1/models/", 200),
        ("get", "/api/v1/models/nothing/", 404),
        ("get", V0, 405),
        ("get", "/api/nothing/", 404),
        ("get", "/api/schema/?format=none", 404),
        ("get", "/api/docs/", 200),
        ("options", V1, 200),
        ("post", V0, 415),
    ],
)
def test_errors_have_the_headers_too(client: APIClient, method: str, path: str, status: int) -> None:
    response = (
        client.generic(method.upper(), path, "x", "text/plain") if method == "post" else getattr(client, method)(path)
    )
    assert response.status_code == status
    assert set(fields(response)) == set(fields(response, "RateLimit-Policy")) != set()


def test_no_limit_means_no_header(client: APIClient, settings: Settings) -> None:
    settings.API_ANON_RATE = ()
    assert "RateLimit" not in post(client)
