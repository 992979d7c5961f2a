"""Which rows PostgreSQL reads for a page of the history."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from moon_vision_challenge.accounts.caller import ANONYMOUS_OWNER_ID
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.classification.tests.plans import empty_tables, explain

pytestmark = pytest.mark.django_db

PAGE = 50
# The anonymous owner has the oldest tenth, the other owner the rest. In each tenth, the oldest rows are the failures,
# followed by the rows of another model.
_FILL = """
INSERT INTO classification_inference (
    owner_id, model_type, status, created_at, finished_at,
    image, label, predictions, version_label, attempts, webhook_url
)
SELECT CASE WHEN part = 0 THEN %(old)s ELSE %(new)s END,
       CASE WHEN place BETWEEN 200 AND 399 THEN 'resnet' ELSE 'inception' END,
       CASE WHEN place < 200 THEN 'fail' ELSE 'done' END,
       now() - make_interval(secs => %(count)s - n), now(), 'inferences/x.jpg', '', '[]', '', 1, ''
FROM generate_series(0, %(count)s - 1) AS n,
     LATERAL (SELECT n / (%(count)s / 10) AS part, n %% (%(count)s / 10) AS place) AS of_ten
"""


@pytest.fixture
def count(request: pytest.FixtureRequest, db: None) -> int:
    empty_tables("classification_inference")
    owners = {"old": ANONYMOUS_OWNER_ID, "new": Owner.objects.create(name="another").pk}
    with connection.cursor() as cursor:
        cursor.execute(_FILL, {"count": request.param, **owners})
        cursor.execute("ANALYZE classification_inference")
        if request.param < 1_000_000:  # so that the planner does not expect the table in memory either
            cursor.execute("SET LOCAL random_page_cost = 40")
    return int(request.param)


def rows_read(sql: str) -> int:
    """Return the number of rows that all scans of the table read, including those that a filter removed."""
    return sum(
        node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
        for node in explain(sql)
        if node.get("Relation Name") == "classification_inference"
    )


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.e2e)], indirect=True)
def test_a_page_of_an_owner_with_only_old_rows_reads_no_rows_of_others(client: APIClient, count: int) -> None:
    for query in ("", "&status=fail", "&status=done", "&model_type=resnet", "&model_type=inception"):
        url: str | None = f"/api/v1/history/?page_size={PAGE}{query}"
        for link in ("next", "next", "previous", "next"):
            assert url
            with CaptureQueriesContext(connection) as queries:
                page = client.get(url).json()
            (sql,) = (each["sql"] for each in queries if 'FROM "classification_inference"' in each["sql"])
            assert len(page["results"]) == PAGE
            assert rows_read(sql) <= count / 10, url
            url = page[link]
