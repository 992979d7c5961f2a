import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

BEFORE = [("classification", "0003"), ("webhooks", "0002"), ("accounts", "zero")]


def migrate(*target: str) -> None:
    call_command("migrate", *target, verbosity=0)


def file_of(table: str) -> object:
    """Return the file that PostgreSQL stores the table in. A rewrite changes it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_filenode(%s)", [table])
        return cursor.fetchone()


@pytest.mark.django_db(transaction=True)
def test_existing_rows_become_the_anonymous_owners_without_a_rewrite() -> None:
    tables = ["classification_inference", "webhooks_webhookdelivery"]
    try:
        for target in BEFORE:
            migrate(*target)
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO classification_inference
                    (model_type, image, label, status, attempts, webhook_url, predictions, version_label)
                SELECT 'resnet', 'x.jpg', '', 'done', 1, '', '[]', '' FROM generate_series(1, 1000)
                """
            )
        files = [file_of(table) for table in tables]
        with CaptureQueriesContext(connection) as queries:
            migrate()
        assert [file_of(table) for table in tables] == files
        with connection.cursor() as cursor:
            cursor.execute("SELECT owner_id, count(*) FROM classification_inference GROUP BY owner_id")
            assert cursor.fetchall() == [(0, 1000)]
            cursor.execute("SELECT name FROM accounts_owner WHERE id = 0")
            assert cursor.fetchall() == [("anonymous",)]
        indexes = [query["sql"] for query in queries if "classification_inference" in query["sql"]]
        assert all("CONCURRENTLY" in sql for sql in indexes if "INDEX" in sql)
        assert not [sql for sql in indexes if "FOREIGN KEY" in sql or "REFERENCES" in sql]
    finally:
        migrate()
