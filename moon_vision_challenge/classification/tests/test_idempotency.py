from typing import Any

import pytest
from rest_framework.test import APIClient

from moon_vision_challenge.accounts import tokens
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.classification import services
from moon_vision_challenge.classification.models import IdempotencyKey, Inference
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.posting import V1
from moon_vision_challenge.classification.tests.racing import race
from moon_vision_challenge.classification.tests.rows import stored_files

pytestmark = pytest.mark.usefixtures("sent")


def post(client: APIClient, data: bytes, key: str, model_type: str = "resnet", **headers: str) -> Any:
    body = {"model_type": model_type, "image": pictures.upload(data)}
    return client.post(V1, body, headers={"Idempotency-Key": key, **headers})


@pytest.mark.django_db
def test_the_same_request_under_the_same_key_is_the_same_row_and_one_message(
    client: APIClient, jpeg: bytes, sent: list[int]
) -> None:
    first, second = post(client, jpeg, '"k-1"'), post(client, jpeg, "k-1")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert second["Location"] == first["Location"]
    assert sent == [first.json()["id"]]
    assert len(stored_files()) == 1


@pytest.mark.django_db
def test_another_request_under_the_same_key_is_422(client: APIClient, jpeg: bytes) -> None:
    post(client, jpeg, "k-1")
    for response in (post(client, jpeg, "k-1", model_type="inception"), post(client, pictures.photo("PNG"), "k-1")):
        assert (response.status_code, response.json()["code"]) == (422, "idempotency_conflict")
    assert Inference.objects.count() == 1


@pytest.mark.django_db
def test_the_key_is_the_owners_own(client: APIClient, jpeg: bytes) -> None:
    headers = [{}, *({"Authorization": f"Bearer {new_token(owner)}"} for owner in ("alice", "bob"))]
    ids = [post(client, jpeg, "k-1", **header).json()["id"] for header in headers]
    assert len(set(ids)) == 3
    assert [post(client, jpeg, "k-1", **header).json()["id"] for header in headers] == ids


@pytest.mark.django_db
def test_the_tokens_of_one_owner_share_their_keys(client: APIClient, jpeg: bytes) -> None:
    both = [post(client, jpeg, "k-1", Authorization=f"Token {new_token('alice', name)}") for name in ("a", "b")]
    assert [response.status_code for response in both] == [201, 200]


@pytest.mark.django_db
def test_anonymous_callers_at_two_addresses_share_no_key(client: APIClient, jpeg: bytes) -> None:
    responses = []
    for address in ("192.0.2.1", "192.0.2.2"):
        body = {"model_type": "resnet", "image": pictures.upload(jpeg)}
        responses.append(client.post(V1, body, headers={"Idempotency-Key": "k-1"}, REMOTE_ADDR=address))
    assert [response.status_code for response in responses] == [201, 201]


def new_token(owner: str, name: str = "ci") -> str:
    found, _ = Owner.objects.get_or_create(name=owner)
    return tokens.create_token(owner=found, name=name, actor="test")[1]


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["", '""', "x" * 256, "tab\there", "é"])
def test_a_bad_key_is_400_by_its_name(client: APIClient, jpeg: bytes, key: str) -> None:
    response = post(client, jpeg, key)
    assert (response.status_code, list(response.json())) == (400, ["Idempotency-Key"])


@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_deleted_while_its_key_is_used_again_makes_a_new_one(
    client: APIClient, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = post(client, jpeg, "k-1").json()["id"]
    looked_up = []

    def find_earlier(key: IdempotencyKey) -> None:
        looked_up.append(key)
        if len(looked_up) == 2:  # after the first insertion has failed
            Inference.objects.filter(pk=first).delete()

    monkeypatch.setattr(services, "_find_earlier", find_earlier)
    second = post(client, jpeg, "k-1")
    assert (second.status_code, Inference.objects.count(), len(stored_files())) == (201, 1, 2)
    assert second.json()["id"] != first


@pytest.mark.django_db
def test_without_a_key_every_post_is_a_row(client: APIClient, jpeg: bytes) -> None:
    for _ in range(2):
        client.post(V1, {"model_type": "resnet", "image": pictures.upload(jpeg)})
    assert Inference.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_under_one_key_make_one_row_and_one_file(jpeg: bytes, sent: list[int]) -> None:
    responses: list[Any] = []
    race(lambda _: responses.append(post(APIClient(), jpeg, "k-1")), threads=20)
    assert sorted(response.status_code for response in responses) == [200] * 19 + [201]
    assert len({response.json()["id"] for response in responses}) == 1
    assert len(sent) == len(stored_files()) == Inference.objects.count() == 1
