import base64
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from moon_vision_challenge.classification.models import Inference

pytestmark = pytest.mark.django_db

URL = "/api/v1/history/"
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def rows() -> list[Inference]:
    """One row per hour, oldest first."""
    statuses = ["done", "fail", "pending"]
    return Inference.objects.bulk_create(
        Inference(
            model_type=["resnet", "inception"][number % 2],
            image=f"inferences/{number}.jpg",
            status=statuses[number % 3],
            created_at=START + timedelta(hours=number),
        )
        for number in range(12)
    )


def ids(response: Any) -> list[int]:
    return [row["id"] for row in response.json()["results"]]


def page_through(client: APIClient) -> list[int]:
    """Return the ids of all rows that a client gets when it follows `next`."""
    seen: list[int] = []
    url = f"{URL}?page_size=5"
    while url:
        response = client.get(url)
        assert response.status_code == 200
        seen += ids(response)
        url = response.json()["next"]
    return seen


def test_it_is_newest_first_page_by_page(client: APIClient, rows: list[Inference]) -> None:
    assert page_through(client) == [row.pk for row in reversed(rows)]


def test_a_row_that_comes_meanwhile_moves_no_page(client: APIClient, rows: list[Inference]) -> None:
    first = client.get(f"{URL}?page_size=5")
    Inference.objects.create(model_type="resnet", image="x.jpg")
    assert ids(client.get(first.json()["next"])) == [row.pk for row in reversed(rows)][5:10]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=done", {0, 3, 6, 9}),
        ("model_type=inception", {1, 3, 5, 7, 9, 11}),
        ("status=done&model_type=inception", {3, 9}),
        ("created_after=2026-01-01T10:00:00Z", {10, 11}),
        ("created_before=2026-01-01T02:00:00Z", {0, 1}),
        ("created_after=2026-01-01T03:00:00Z&created_before=2026-01-01T05:00:00Z&status=fail", {4}),
        ("model_type=nothing", set()),
    ],
)
def test_it_is_filtered(client: APIClient, rows: list[Inference], query: str, expected: set[int]) -> None:
    assert set(ids(client.get(f"{URL}?{query}"))) == {rows[number].pk for number in expected}


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("status=odd", "status"),
        ("created_after=yesterday", "created_after"),
        ("model_type=%00", "model_type"),
        ("page_size=0", "page_size"),
        ("page_size=many", "page_size"),
        ("page_size=201", "page_size"),
    ],
)
def test_a_bad_filter_is_400_by_its_name(client: APIClient, query: str, name: str) -> None:
    response = client.get(f"{URL}?{query}")
    assert (response.status_code, list(response.json())) == (400, [name])


@pytest.mark.parametrize(
    "position", ["o=", "p=abc", "p=\0", "r=1&p=99999-01-01T00:00:00", "p=2026-13-01", "o=many", "o=-5", "\xff"]
)
def test_a_cursor_that_no_page_gave_is_400_by_its_name(client: APIClient, position: str) -> None:
    cursor = base64.b64encode(position.encode("latin-1")).decode()
    response = client.get(URL, {"cursor": cursor})
    assert (response.status_code, list(response.json())) == (400, ["cursor"])


def test_a_cursor_that_is_not_base64_is_400_too(client: APIClient) -> None:
    assert client.get(f"{URL}?cursor=nonsense-").status_code == 400


def test_rows_of_the_same_moment_are_all_seen_once(client: APIClient) -> None:
    rows = Inference.objects.bulk_create(
        Inference(model_type="resnet", image=f"{number}.jpg", created_at=START) for number in range(12)
    )
    assert sorted(page_through(client)) == [row.pk for row in rows]


def test_a_page_is_one_query(client: APIClient, rows: list[Inference], django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        client.get(URL)


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "inference_owner|inference_created_at"),
        ({"status": "fail"}, "inference_owner_status"),
        ({"model_type": "inception"}, "inference_owner_type"),
        ({"created_at__gte": START + timedelta(hours=15_000)}, "inference_owner|inference_created_at"),
    ],
)
def test_every_filter_reads_its_index_backwards_without_a_sort(filters: dict[str, Any], index: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO classification_inference
                (model_type, image, label, status, attempts, created_at, webhook_url,
                 predictions, version_label)
            SELECT CASE WHEN n %% 50 = 0 THEN 'inception' ELSE 'resnet' END, 'x.jpg', '',
                   CASE WHEN n %% 50 = 0 THEN 'fail' ELSE 'done' END, 1,
                   timestamptz '2026-01-01Z' + n * interval '1 hour', '',
                   '[]', ''
            FROM generate_series(1, 20000) AS n
            """,
            [],
        )
        cursor.execute("ANALYZE classification_inference")
    plan = Inference.objects.filter(owner_id=0, **filters).order_by("-created_at")[:51].explain()
    # All rows belong to this owner, so the index of dates is as good as the owner's.
    assert re.search(f"Index Scan Backward using ({index}) ", plan), plan
    assert "Sort" not in plan, plan
