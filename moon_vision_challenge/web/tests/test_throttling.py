"""Limits on real Redis. The clock stands still unless a test moves it."""

import gzip
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.models import ApiToken, Owner
from moon_vision_challenge.accounts.rates import parse_rates
from moon_vision_challenge.accounts.token_cache import tokens
from moon_vision_challenge.accounts.tokens import create_token
from moon_vision_challenge.classification import tasks
from moon_vision_challenge.web.throttling import middleware, store
from moon_vision_challenge.web.throttling.store import Bucket, _redis_breaker

V0 = "/api/v0/inferences/"
V1 = "/api/v1/inferences/"
READ = "/api/schema/?format=json"
USAGE = "/api/v1/usage/"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    still = Clock()
    monkeypatch.setattr(store, "clock", still)
    yield still
    _redis_breaker.close()


def post(client: APIClient, url: str = V0, **headers: Any) -> Any:
    """A request that the view refuses: what it costs does not depend on a model."""
    return client.post(url, {}, format="json", **headers)


def fields(response: Any, name: str = "RateLimit") -> dict[str, dict[str, str]]:
    """The items of a structured list (RFC 9651), with their parameters."""
    items = [item.split(";") for item in response[name].split(", ")]
    return {first.strip('"'): dict(each.split("=") for each in rest) for first, *rest in items}


def test_the_request_above_the_rate_is_429_and_says_when_to_come_back(client: APIClient, clock: Clock) -> None:
    assert [post(client).status_code for _ in range(32)] == [400] * 32
    refused = post(client)
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert refused["Retry-After"] == "1"
    clock.now += int(refused["Retry-After"])
    assert post(client).status_code == 400


def test_a_burst_is_followed_by_the_sustained_rate(client: APIClient, clock: Clock, settings: Settings) -> None:
    settings.API_ANON_RATE = parse_rates("10/s")
    accepted = 0
    for _ in range(200):  # 10 s
        accepted += post(client).status_code == 400
        clock.now += 0.05
    assert accepted == 10 + 99  # the burst, and 10 a second


def test_several_rates_apply_together(client: APIClient, clock: Clock, settings: Settings) -> None:
    settings.API_ANON_RATE = parse_rates("5/s,12/h")
    statuses = []
    for _ in range(3):
        statuses += [post(client).status_code for _ in range(6)]
        clock.now += 1
    assert statuses == [400] * 5 + [429] + [400] * 5 + [429] + [400] * 2 + [429] * 4
    assert int(post(client)["Retry-After"]) > 200


def test_a_refused_request_takes_nothing(client: APIClient, clock: Clock, settings: Settings) -> None:
    settings.API_ANON_RATE = parse_rates("2/s,100/h")
    for _ in range(49):
        post(client)
    assert fields(post(client))["v0-address-3600s"]["r"] == "98"
    clock.now += 1
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


# Tokens and owners


@pytest.fixture
def make_token(db: None) -> Callable[[str, str], dict[str, str]]:
    def make(owner: str, name: str) -> dict[str, str]:
        row, _ = Owner.objects.get_or_create(name=owner)
        _, secret = create_token(owner=row, name=name, actor="test", scopes=[Scope.CLASSIFY, Scope.READ])
        return {"HTTP_AUTHORIZATION": f"Bearer {secret}"}

    tokens.clear()
    return make


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
    clock.now += 43_200
    assert post(client, V1).status_code == 400


def test_an_owner_stores_a_limited_number_of_bytes(client: APIClient, settings: Settings) -> None:
    settings.API_OWNER_BYTES = parse_rates("1000/d")
    body = '{"image": "%s"}' % ("x" * 587)  # 600 bytes
    first = client.generic("POST", V1, body, "application/json")
    assert (first.status_code, fields(first)["bytes-owner-86400s"]["r"]) == (400, "400")
    assert client.generic("POST", V1, body, "application/json").status_code == 429


# Requests at a time


def test_requests_at_a_time_are_limited(client: APIClient, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.API_MAX_CONCURRENT_REQUESTS = 1
    inner: list[Any] = []
    take = middleware._take

    def take_twice(*arguments: Any) -> Any:
        answer = take(*arguments)
        if not inner:  # while the first is in progress, another comes
            inner.append(None)
            inner[0] = post(APIClient())
        return answer

    monkeypatch.setattr(middleware, "_take", take_twice)
    outer = post(client)
    assert (outer.status_code, inner[0].status_code) == (400, 429)
    assert inner[0]["Retry-After"] == "1"
    assert fields(outer, "RateLimit-Policy")["concurrent"] == {"q": "1", "qu": '"concurrent-requests"'}
    assert [post(client).status_code for _ in range(5)] == [400] * 5  # each frees its place


def test_the_place_of_a_process_that_died_is_free_after_its_lease(clock: Clock) -> None:
    limit = store.Concurrency("ann", 1)
    assert store.take([], limit).is_allowed
    assert not store.take([], limit).is_allowed
    clock.now += store._LEASE_S + 1
    assert store.take([], limit).is_allowed


# Redis


def test_many_threads_take_no_more_than_there_is() -> None:
    bucket = Bucket("test", "x", 50, 60)
    allowed: list[bool] = []

    def take() -> None:
        allowed.extend(store.take([bucket]).is_allowed for _ in range(20))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert allowed.count(True) == 50


def test_a_request_is_one_command(client: APIClient, settings: Settings, make_token: Any) -> None:
    settings.API_TOKEN_RATE = parse_rates("100/s,1000/h")
    settings.API_OWNER_IMAGES, settings.API_OWNER_BYTES = parse_rates("100/d"), parse_rates("1000000/d")
    token = make_token("ann", "a")
    post(client, V1, **token)
    redis = Redis.from_url(settings.REDIS_URL)
    before = redis.info("commandstats")
    post(client, V1, **token)
    after = redis.info("commandstats")
    calls = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}
    assert calls["cmdstat_evalsha"] == 1
    assert sum(calls[name] for name in calls if name in ("cmdstat_eval", "cmdstat_zrem", "cmdstat_incr")) == 0


def test_keys_expire_when_their_bucket_is_full(
    client: APIClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "clock", None)
    settings.API_ANON_RATE = parse_rates("60/m")
    for _ in range(30):
        post(client)
    redis = Redis.from_url(settings.REDIS_URL)
    (key,) = redis.keys("moon_vision:limit:*")
    assert 0 < redis.pttl(key) <= 30_000


def test_a_redis_that_has_lost_the_script_gets_it_again(client: APIClient, settings: Settings) -> None:
    post(client)
    Redis.from_url(settings.REDIS_URL).script_flush()
    assert fields(post(client))["v0-address-1s"]["r"] == "30"


def test_a_connection_that_redis_has_closed_is_replaced(client: APIClient, settings: Settings) -> None:
    post(client)
    redis = Redis.from_url(settings.REDIS_URL)
    for each in redis.client_list():
        if each["cmd"].startswith("eval"):
            redis.client_kill_filter(_id=each["id"])
    assert fields(post(client))["v0-address-1s"]["r"] == "30"


@pytest.mark.parametrize(("fail_closed", "status"), [(False, 400), (True, 503)])
def test_without_redis_requests_pass_or_are_refused_as_set(
    client: APIClient, settings: Settings, fail_closed: bool, status: int
) -> None:
    settings.API_LIMITS_FAIL_CLOSED = fail_closed
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    response, *others = [post(client) for _ in range(3)]
    assert {each.status_code for each in (response, *others)} == {status}
    if fail_closed:
        assert response.json()["code"] == "limits_unavailable"
        assert int(response["Retry-After"]) >= 1
        assert client.get("/nothing/").status_code == 503
    assert client.get("/livez").status_code == 200


def test_a_redis_at_its_memory_limit_is_as_good_as_none(client: APIClient, settings: Settings) -> None:
    redis = Redis.from_url(settings.REDIS_URL)
    redis.config_set("maxmemory", "1")
    try:
        assert post(client).status_code == 400
    finally:
        redis.config_set("maxmemory", "0")


def test_a_redis_that_hangs_is_waited_for_once(client: APIClient, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        assert [post(client).status_code for _ in range(5)] == [400] * 5
        silent.settimeout(5)
        silent.accept()[0].close()
        silent.settimeout(0)
        with pytest.raises(BlockingIOError):  # nobody has come again
            silent.accept()


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
