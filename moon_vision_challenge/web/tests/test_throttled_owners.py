"""Limits of tokens and owners, and what an owner may store."""

import gzip
import re
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.accounts.models import ApiToken, Owner
from moon_vision_challenge.accounts.rates import parse_rates
from moon_vision_challenge.classification import tasks
from moon_vision_challenge.tests.clock import Clock
from moon_vision_challenge.web.tests.limited import V0, V1, fields, post

pytestmark = pytest.mark.usefixtures("clock")

USAGE = "/api/v1/usage/"


def test_a_token_is_counted_wherever_it_comes_from(client: APIClient, settings: Settings, make_token: Any) -> None:
    settings.API_TOKEN_RATE = parse_rates("3/s")
    token, other = make_token("ann", "a"), make_token("ann", "b")
    statuses = [post(client, REMOTE_ADDR=f"192.0.2.{number}", **token).status_code for number in range(4)]
    assert statuses == [400, 400, 400, 429]
    assert post(client, **other).status_code == 400
    assert post(client).status_code == 400


def test_the_tokens_of_an_owner_have_a_limit_together(client: APIClient, settings: Settings, make_token: Any) -> None:
    settings.API_TOKEN_RATE, settings.API_OWNER_RATE = parse_rates("3/s"), parse_rates("4/s")
    first, second, stranger = make_token("ann", "a"), make_token("ann", "b"), make_token("bob", "a")
    assert [post(client, **first).status_code for _ in range(3)] == [400] * 3
    assert [post(client, **second).status_code for _ in range(2)] == [400, 429]
    assert post(client, **stranger).status_code == 400


def test_a_token_and_an_owner_may_have_their_own_limits(client: APIClient, make_token: Any) -> None:
    Owner.objects.create(name="ann", rate="3/s", images_rate="1/d", bytes_rate="1000/d")
    first, second = make_token("ann", "a"), make_token("ann", "b")
    ApiToken.objects.filter(name="a").update(rate="2/s")
    assert [post(client, **first).status_code for _ in range(3)] == [400, 400, 429]
    assert [post(client, **second).status_code for _ in range(2)] == [400, 429]
    assert [post(client, V1, **second).status_code for _ in range(2)] == [400, 429]
    assert fields(post(client, V1, **second), "RateLimit-Policy")["bytes-owner-86400s"]["q"] == "1000"


@pytest.mark.django_db
def test_a_limit_that_is_not_a_rate_cannot_be_saved() -> None:
    with pytest.raises(ValidationError, match="Write COUNT/PERIOD"):
        Owner(name="ann", rate="many").full_clean()


def test_refused_tokens_are_limited_by_address(client: APIClient, settings: Settings, make_token: Any) -> None:
    settings.API_ANON_READ_RATE = parse_rates("3/s")
    good = make_token("ann", "a")
    wrong: Any = {"HTTP_AUTHORIZATION": "Bearer nothing"}
    assert [client.get("/api/v1/models/", **wrong).status_code for _ in range(4)] == [401, 401, 401, 429]
    assert client.get("/api/v1/models/", **good).status_code == 200


# Quotas


def test_an_owner_stores_a_limited_number_of_images(client: APIClient, clock: Clock, settings: Settings) -> None:
    settings.API_OWNER_IMAGES = parse_rates("2/d")
    statuses = [post(client, V1, REMOTE_ADDR=f"192.0.2.{number}").status_code for number in range(3)]
    assert statuses == [400, 400, 429]
    refused = post(client, V1)
    assert fields(refused, "RateLimit-Policy")["images-owner-86400s"] == {"q": "2", "qu": '"images"', "w": "86400"}
    assert int(refused["Retry-After"]) == 43_200
    assert post(client, V0).status_code == 400
    clock.now_s += 43_200
    assert post(client, V1).status_code == 400


def test_an_owner_stores_a_limited_number_of_bytes(client: APIClient, settings: Settings) -> None:
    settings.API_OWNER_BYTES = parse_rates("1000/d")
    body = '{"image": "%s"}' % ("x" * 587)  # 600 bytes
    first = client.generic("POST", V1, body, "application/json")
    assert (first.status_code, fields(first)["bytes-owner-86400s"]["r"]) == (400, "400")
    assert client.generic("POST", V1, body, "application/json").status_code == 429


# What is left


def test_usage_tells_what_is_used_and_left(client: APIClient, settings: Settings) -> None:
    settings.API_OWNER_IMAGES = parse_rates("100/d")
    settings.API_MAX_CONCURRENT_REQUESTS = 4
    for _ in range(5):
        post(client)
    post(client, V1)
    body = client.get(USAGE).json()
    shown = {each["name"]: each for each in body["limits"]}
    assert shown["v0-address-1s"] == {
        "name": "v0-address-1s",
        "unit": "requests",
        "quota": 32,
        "window_s": 1,
        "used": 5,
        "remaining": 27,
        "full_in_s": 1,
    }
    assert (shown["create-address-1s"]["used"], shown["images-owner-86400s"]["used"]) == (1, 1)
    assert shown["read-address-1s"]["used"] == 1  # this request
    assert body["concurrent_requests"] == {"quota": 4, "used": 1}


def test_looking_takes_nothing(client: APIClient) -> None:
    first, second = (client.get(USAGE).json()["limits"][0] for _ in range(2))
    assert first == second


def test_usage_is_the_callers_own(client: APIClient, make_token: Any) -> None:
    post(client, **make_token("ann", "a"))
    shown = {each["name"]: each["used"] for each in client.get(USAGE, **make_token("bob", "b")).json()["limits"]}
    assert shown["v0-token-1s"] == shown["v0-owner-1s"] == 0
    assert not any(re.search("address", name) for name in shown)


def test_usage_without_redis_is_503(client: APIClient, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    response = client.get(USAGE)
    assert (response.status_code, response.json()["code"]) == (503, "limits_unavailable")
    assert int(response["Retry-After"]) >= 1


@pytest.mark.django_db
def test_what_a_compressed_body_holds_counts_as_stored(
    client: APIClient, settings: Settings, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "enqueue_inference", lambda _: None)
    settings.API_OWNER_BYTES = parse_rates("1000000/d")
    padded = jpeg + b"\0" * 600_000  # what follows the image is stored with it
    headers = {"Content-Encoding": "gzip"}
    address = f"{V1}?model_type=resnet"
    body: Any = gzip.compress(padded)
    first, second = (client.generic("POST", address, body, "image/jpeg", headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 429)
    assert second.json()["code"] == "throttled"
    assert int(second["Retry-After"]) > 1
