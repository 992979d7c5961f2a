"""What the API reports about models: their versions and their scores."""

from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification.labels import IMAGENET_LABELS
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import batch, worker
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.posting import V0, V1
from moon_vision_challenge.classification.tests.service import PHOTO
from moon_vision_challenge.conftest import StartFake

pytestmark = pytest.mark.usefixtures("sent")


def post(client: APIClient, url: str, data: bytes = PHOTO, model_type: str = "efficientnet_lite0") -> Any:
    return client.post(url, {"model_type": model_type, "image": pictures.upload(data)})


def test_v0_returns_the_most_probable_classes_of_the_real_model_sorted(client: APIClient) -> None:
    body = post(client, V0 + "?top_k=5").json()
    assert list(body) == ["label", "predictions"]
    found = body["predictions"]
    assert body["label"] == found[0]["label"] == "espresso"
    assert len(found) == 5
    assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    assert 0.5 < found[0]["score"] <= 1
    for one in found:
        assert list(one) == ["label", "score", "class_id"]
        assert IMAGENET_LABELS[one["class_id"]] == one["label"]


def test_v0_without_top_k_answers_with_the_label_only(client: APIClient) -> None:
    assert post(client, V0).json() == {"label": "espresso"}


def test_v0_returns_up_to_the_allowed_number_of_classes(client: APIClient) -> None:
    assert len(post(client, V0 + "?top_k=100").json()["predictions"]) == 100


def test_v0_asks_the_requested_version(client: APIClient) -> None:
    assert post(client, V0 + "?version=1").json() == {"label": "espresso"}
    response = post(client, V0 + "?version=999")
    assert (response.status_code, response.json()["code"]) == (503, "model_version_not_available")
    assert response.has_header("Retry-After")


def test_v0_with_an_unknown_version_label_is_400(client: APIClient) -> None:
    response = post(client, V0 + "?version_label=nobody")
    assert (response.status_code, response.json()["code"]) == (400, "unknown_version_label")


@pytest.mark.django_db
@pytest.mark.parametrize("url", [V0, V1])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("version=x", "version"),
        ("version=-1", "version"),
        ("version=1.5", "version"),
        ("version=", "version"),
        ("version=9223372036854775808", "version"),
        ("version_label=", "version_label"),
        ("version_label=a/b", "version_label"),
        ("version_label=..", "version_label"),
        ("version_label=a%0A", "version_label"),
        ("version_label=a:predict", "version_label"),
        ("version_label=" + "x" * 101, "version_label"),
        ("version=1&version_label=stable", "version_label"),
    ],
)
def test_a_bad_version_is_400_and_names_the_field(client: APIClient, url: str, query: str, field: str) -> None:
    response = post(client, f"{url}?{query}")
    assert response.status_code == 400
    assert list(response.json()) == [field]
    assert not Inference.objects.exists()


@pytest.mark.parametrize("top_k", ["0", "101", "-1", "x", "", "1.5"])
def test_a_bad_top_k_is_400(client: APIClient, top_k: str) -> None:
    response = post(client, f"{V0}?top_k={top_k}")
    assert (response.status_code, list(response.json())) == (400, ["top_k"])


def test_an_unknown_query_parameter_changes_nothing(client: APIClient) -> None:
    assert post(client, V0 + "?utm_source=x").json() == {"label": "espresso"}


def run_v1(client: APIClient, query: str = "") -> dict[str, Any]:
    created = post(client, V1 + query)
    assert created.status_code == 201
    assert (created.json()["model_version"], created.json()["predictions"]) == (None, [])
    batch.run(worker.claim_batch(queue="inferences"))
    row: dict[str, Any] = client.get(created["Location"]).json()
    return row


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["", "?version=1"])
def test_v1_keeps_five_predictions_and_the_version_that_answered(client: APIClient, query: str) -> None:
    row = run_v1(client, query)
    assert (row["status"], row["label"], row["model_version"]) == ("done", "espresso", 1)
    assert row["predictions"] == post(client, V0 + "?top_k=5").json()["predictions"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "code", "attempts"),
    [("?version=999", "model_version_not_available", 2), ("?version_label=nobody", "unknown_version_label", 1)],
)
def test_v1_with_a_version_that_is_not_there_fails_with_its_reason(
    client: APIClient, query: str, code: str, attempts: int, settings: Settings
) -> None:
    settings.INFERENCE_MAX_ATTEMPTS = 2
    row = run_v1(client, query)
    if row["status"] == "pending":
        Inference.objects.update(available_at=row["created_at"])
        batch.run(worker.claim_batch(queue="inferences"))
        row = client.get(f"{V1}{row['id']}/").json()
    assert (row["status"], row["error"]["code"], row["attempts"]) == ("fail", code, attempts)
    assert (row["model_version"], row["predictions"]) == (None, [])


@pytest.mark.django_db
def test_v1_asks_each_version_once_for_all_rows_of_a_batch(client: APIClient, start_fake: StartFake) -> None:
    server = start_fake(fake.predicts(281))
    server.status = fake.has_versions(3)
    queries = ["", "?version=2", "", "?version=2", "?version_label=stable"]
    rows = [post(client, V1 + query).json()["id"] for query in queries]
    batch.run(worker.claim_batch(queue="inferences"))
    versions = [client.get(f"{V1}{pk}/").json()["model_version"] for pk in rows]
    assert versions == [3, 2, 3, 2, 3]
    assert sorted((path.rpartition("/")[2], len(body["instances"])) for path, body in server.requests) == [
        ("2:predict", 2),
        ("3:predict", 1),
        ("3:predict", 2),
    ]
