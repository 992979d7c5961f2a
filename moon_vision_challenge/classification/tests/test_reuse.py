"""The result cache, through the API: whose results, which version, which directives."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from pytest_django import Settings
from redis import Redis
from rest_framework.test import APIClient

from moon_vision_challenge.accounts import tokens
from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.classification import prediction, reuse
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, worker
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.posting import V0, V1
from moon_vision_challenge.classification.tests.service import PHOTO
from moon_vision_challenge.webhooks.models import WebhookDelivery

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("sent")]
HIT, MISS = "moon-vision; hit", "moon-vision; fwd=miss"


@pytest.fixture(autouse=True)
def _cache(settings: Settings) -> Iterator[None]:
    settings.RESULT_CACHE_TTL_S = 600
    settings.API_ANON_RATE = ()
    with Redis.from_url(django_settings.REDIS_URL) as redis:
        redis.flushdb()
        yield
        redis.flushdb()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images in each request to a model."""
    counts: list[int] = []
    classify = prediction.classify

    def count(classificator: Any, images: Any, **options: Any) -> Any:
        counts.append(len(images))
        return classify(classificator, images, **options)

    monkeypatch.setattr(prediction, "classify", count)
    return counts


def post(client: APIClient, url: str = V0, data: bytes = PHOTO, **options: Any) -> Any:
    fields = {"model_type": "efficientnet_lite0", "image": pictures.upload(data)}
    fields |= {name: options.pop(name) for name in ("webhook_url",) if name in options}
    return client.post(url, fields, **options)


def client_of(owner: str) -> APIClient:
    found, _ = Owner.objects.get_or_create(name=owner)
    _, secret = tokens.create_token(
        owner=found, name=f"{uuid.uuid4()}", scopes=tuple(Scope), expires_at=None, actor="test"
    )
    return APIClient(raise_request_exception=False, headers={"Authorization": f"Bearer {secret}"})


def drain() -> None:
    while claimed := worker.claim_batch(queue="inferences"):
        batch.run(claimed)


def test_the_same_image_is_answered_without_the_model(client: APIClient, asked: list[int]) -> None:
    first, second = post(client), post(client)
    assert first.json() == second.json() == {"label": "espresso"}
    assert (first["Cache-Status"], second["Cache-Status"]) == (MISS, HIT)
    assert not first.has_header("Age")
    assert 0 <= int(second["Age"]) < 600
    assert asked == [1]


def test_scores_come_from_the_cache_unchanged(client: APIClient) -> None:
    first, second = (post(client, f"{V0}?top_k=5") for _ in range(2))
    assert second["Cache-Status"] == HIT
    assert first.json() == second.json()


@pytest.mark.parametrize("query", ["?top_k=3", "?version=1&top_k=5"])
def test_other_parameters_are_other_results(client: APIClient, query: str) -> None:
    post(client)
    assert post(client, V0 + query)["Cache-Status"] == MISS


def test_the_newest_version_by_number_is_the_same_result(client: APIClient) -> None:
    post(client)
    assert post(client, f"{V0}?version=1")["Cache-Status"] == HIT


def test_a_new_version_starts_with_an_empty_cache(
    client: APIClient, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    post(client)
    monkeypatch.setattr(prediction, "find_version", lambda *_: 2)  # the reported version, but only version 1 answers
    response = post(client)
    assert response.status_code == 503
    assert len(asked) > 1


def test_without_a_known_version_nothing_is_reused(
    client: APIClient, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "find_version", lambda *_: None)
    assert [post(client)["Cache-Status"] for _ in range(2)] == ["moon-vision; fwd=bypass"] * 2
    assert asked == [1, 1]


def test_another_image_is_another_result(client: APIClient) -> None:
    post(client)
    assert post(client, data=PHOTO + b"\0")["Cache-Status"] == MISS


@pytest.mark.parametrize(
    ("directive", "status", "keeps"),
    [
        ("no-cache", "moon-vision; fwd=request", True),
        ("max-age=0, no-store", None, False),
        ("NO-STORE", None, False),
        ("max-age=600", MISS, True),
        ("max-age=what, x=1, ,", MISS, True),
    ],
)
def test_a_client_says_what_may_be_kept(client: APIClient, directive: str, status: str | None, keeps: bool) -> None:
    response = post(client, headers={"Cache-Control": directive})
    assert response.get("Cache-Status") == status
    assert (post(client)["Cache-Status"] == HIT) is keeps


@pytest.mark.parametrize(
    ("directive", "status"), [("no-cache", "moon-vision; fwd=request"), ("no-store", None), ("max-age=600", HIT)]
)
def test_a_client_says_what_it_accepts(client: APIClient, directive: str, status: str | None) -> None:
    post(client)
    assert post(client, headers={"Cache-Control": directive}).get("Cache-Status") == status


def test_a_result_above_the_accepted_age_is_made_anew(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{reuse.__name__}.time.time", lambda: 1000.0)
    post(client)
    monkeypatch.setattr(f"{reuse.__name__}.time.time", lambda: 1010.0)
    assert post(client, headers={"Cache-Control": "max-age=10"})["Age"] == "10"
    assert post(client, headers={"Cache-Control": "max-age=9"})["Cache-Status"] == MISS


def test_nobody_learns_what_another_caller_has_sent(client: APIClient) -> None:
    callers = [client_of("alice"), client_of("bob"), client]
    assert [post(caller)["Cache-Status"] for caller in callers] == [MISS] * 3
    assert post(client, REMOTE_ADDR="203.0.113.9")["Cache-Status"] == MISS
    assert post(client_of("alice"))["Cache-Status"] == HIT  # another token of the same owner


def test_an_operator_can_let_all_callers_share(client: APIClient, settings: Settings) -> None:
    settings.RESULT_CACHE_SHARED = True
    post(client_of("alice"))
    assert post(client)["Cache-Status"] == HIT


def test_a_failure_is_not_kept(client: APIClient) -> None:
    assert [post(client, data=b"not an image").status_code for _ in range(2)] == [400, 400]
    assert post(client, f"{V0}?version=999").status_code == 503
    assert post(client)["Cache-Status"] == MISS


def test_v1_shows_a_known_image_as_pending_and_then_as_done(
    client: APIClient, sent: list[int], asked: list[int]
) -> None:
    first = post(client, V1)
    drain()
    second = post(client, V1)
    assert not first.has_header("Cache-Status")
    assert second["Cache-Status"] == HIT
    assert (second.status_code, second.json()["status"], second.json()["label"]) == (201, "pending", "")
    rows = [client.get(f"{V1}{response.json()['id']}/").json() for response in (first, second)]
    assert [row["status"] for row in rows] == ["done"] * 2
    for name in ("label", "predictions", "model_version"):
        assert rows[0][name] == rows[1][name]
    assert sent == [rows[0]["id"]]
    assert asked == [1]


def test_v1_answers_what_v0_has_asked_and_the_other_way_around(client: APIClient) -> None:
    post(client, f"{V0}?top_k=5")
    assert post(client, V1)["Cache-Status"] == HIT
    post(client, V1, PHOTO + b"\0")
    drain()
    assert post(client, f"{V0}?top_k=5", PHOTO + b"\0")["Cache-Status"] == HIT


def test_v1_with_no_store_leaves_nothing(client: APIClient) -> None:
    post(client, V1, headers={"Cache-Control": "no-store"})
    drain()
    assert not post(client, V1).has_header("Cache-Status")


def test_a_known_image_in_v1_sends_its_webhook(client: APIClient, settings: Settings) -> None:
    settings.WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    post(client, f"{V0}?top_k=5")
    created = post(client, V1, webhook_url="https://example.com/hook").json()
    [delivery] = WebhookDelivery.objects.all()
    assert (delivery.subject_id, json.loads(delivery.body)["data"]["label"]) == (created["id"], "espresso")


def test_a_client_that_waits_gets_the_known_result(client: APIClient) -> None:
    post(client, f"{V0}?top_k=5")
    row = post(client, V1, headers={"Prefer": "wait=20"}).json()
    assert (row["status"], row["label"]) == ("done", "espresso")


def test_a_repeated_request_gets_its_row(client: APIClient) -> None:
    post(client, f"{V0}?top_k=5")
    first, second = (post(client, V1, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.status_code, second.status_code, second.json()["status"]) == (201, 200, "done")
    assert Inference.objects.count() == 1


def test_the_cache_is_off_by_default(client: APIClient, settings: Settings, asked: list[int]) -> None:
    settings.RESULT_CACHE_TTL_S = 0
    responses = [post(client) for _ in range(2)]
    assert not any(response.has_header("Cache-Status") for response in responses)
    assert asked == [1, 1]


def test_without_redis_the_model_answers(client: APIClient, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert [post(client).json() for _ in range(2)] == [{"label": "espresso"}] * 2
