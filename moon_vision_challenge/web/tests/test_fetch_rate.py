"""Fetches for `image_url` have a rate limit beside that of requests."""

from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.accounts.rates import parse_rates
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.tests.clock import Clock
from moon_vision_challenge.tests.peer import Peer, StartPeer, ok
from moon_vision_challenge.web.tests.limited import V0, V1, fields

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture(autouse=True)
def _allowed(settings: Settings) -> None:
    settings.ALLOW_IMAGE_URLS = settings.IMAGE_URL_ALLOW_PRIVATE_ADDRESSES = True


@pytest.fixture
def peer(start_peer: StartPeer, start_fake: Any, jpeg: bytes) -> Peer:
    """A peer that serves an image."""
    start_fake(fake.predicts(281))
    return start_peer(ok(jpeg))


def fetch(client: APIClient, peer: Peer, url: str = V0, **extra: Any) -> Any:
    return client.post(url, {"model_type": "resnet", "image_url": peer.url}, **extra)


def test_fetches_above_the_rate_are_429_and_images_in_requests_are_not(
    client: APIClient, peer: Peer, settings: Settings, clock: Clock, jpeg: bytes
) -> None:
    settings.API_FETCH_RATE = parse_rates("2/h")
    assert [fetch(client, peer).status_code for _ in range(2)] == [200, 200]
    refused = fetch(client, peer)
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert len(peer.requests) == 2
    assert client.post(V0, {"model_type": "resnet", "image": pictures.upload(jpeg)}).status_code == 200
    assert fetch(client, peer, REMOTE_ADDR="192.0.2.1").status_code == 200
    clock.now_s += int(refused["Retry-After"])
    assert fetch(client, peer).status_code == 200


def test_the_response_tells_what_is_left_of_both_rates(client: APIClient, peer: Peer, settings: Settings) -> None:
    settings.API_FETCH_RATE = parse_rates("2/h")
    response = fetch(client, peer)
    assert {name: item["r"] for name, item in fields(response).items()} == {
        "v0-address-1s": "31",
        "fetch-address-3600s": "1",
    }
    assert fields(response, "RateLimit-Policy")["fetch-address-3600s"] == {"q": "2", "w": "3600"}


@pytest.mark.django_db
def test_the_tokens_of_an_owner_fetch_at_one_rate(
    client: APIClient, peer: Peer, settings: Settings, make_token: Any
) -> None:
    settings.API_FETCH_RATE = parse_rates("2/s")
    first, second = make_token("ann", "a"), make_token("ann", "b")
    assert [fetch(client, peer, V1, **token).status_code for token in (first, second, first)] == [201, 201, 429]
    usage = client.get("/api/v1/usage/", **second).json()["limits"]
    assert [limit["used"] for limit in usage if limit["name"] == "fetch-owner-1s"] == [2]


def test_a_request_that_fetches_nothing_takes_nothing(client: APIClient, peer: Peer, settings: Settings) -> None:
    settings.API_FETCH_RATE = parse_rates("1/h")
    refused = client.post(V0, {"model_type": "dogs", "image_url": peer.url})
    assert (refused.status_code, len(fields(refused))) == (400, 1)
    assert fetch(client, peer).status_code == 200


def test_fetches_go_on_while_redis_is_down(client: APIClient, peer: Peer, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1"
    settings.API_FETCH_RATE = parse_rates("1/h")
    assert [fetch(client, peer).status_code for _ in range(2)] == [200, 200]


def test_usage_tells_of_fetches_only_where_they_are_allowed(client: APIClient, settings: Settings) -> None:
    names = [[limit["name"] for limit in client.get("/api/v1/usage/").json()["limits"]]]
    settings.ALLOW_IMAGE_URLS = False
    names.append([limit["name"] for limit in client.get("/api/v1/usage/").json()["limits"]])
    assert ["fetch-address-1s" in each for each in names] == [True, False]
