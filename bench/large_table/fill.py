"""Generates rows, and builds the indexes after that, which is faster."""

import time
from collections.abc import Sequence
from typing import Any

import psycopg2

CHUNK = 1_000_000
OWNERS_OF_GROWTH = 10
"""Each owner has more rows than fit on a page of its history, even in the smallest table."""

_OWNERS = """
INSERT INTO accounts_owner (id, name, is_active, rate, images_rate, bytes_rate, created_at)
SELECT n, 'owner ' || n, true, '', '', '', now() FROM generate_series(1, %s) AS n ON CONFLICT DO NOTHING
"""
# An owner's rows have consecutive turns, as queue/turns.py gives them to owners who post at the same time.
WAITING = """
INSERT INTO classification_inference (
    owner_id, model_type, image, label, predictions, version_label, status, attempts, created_at, available_at,
    webhook_url, turn
)
SELECT 1 + n %% %(owners)s, 'efficientnet_lite0', 'inferences/2026/01/01/' || md5(n::text) || '.jpg', '', '[]', '',
       'pending', 0, now() - interval '1 hour', now() - interval '1 hour', '', n / %(owners)s
FROM generate_series(%(begin)s, %(end)s - 1) AS n
"""
# A month of results, oldest first.
DONE = """
INSERT INTO classification_inference (
    owner_id, model_type, image, label, predictions, version_label, status, attempts, created_at, started_at,
    finished_at, available_at, webhook_url
)
SELECT 1 + n %% %(owners)s, 'efficientnet_lite0', 'inferences/2026/01/01/' || md5(n::text) || '.jpg', 'espresso',
       '[{"label": "espresso", "score": 0.9, "class_id": 967}, {"label": "cup", "score": 0.05, "class_id": 968}]', '',
       'done', 1, at, at, at, at, ''
FROM generate_series(%(begin)s, %(end)s - 1) AS n,
     LATERAL (SELECT now() - interval '31 days' * (1 - n / %(rows)s::float8) AS at) AS age
"""


def connect(url: str) -> Any:
    connection = psycopg2.connect(url, connect_timeout=30)
    connection.autocommit = True
    return connection


def fill(url: str, statement: str, *, rows: int, owners: int, indexes: Sequence[str] | None = None) -> float:
    """Empty the table, and insert the rows. Returns how long it took, including the indexes, in seconds.

    Args:
        indexes: the definitions of the indexes that the table lacks. By default, it has all its indexes.
    """
    begin_s = time.monotonic()
    with connect(url).cursor() as cursor:
        cursor.execute("TRUNCATE classification_inference, accounts_owner RESTART IDENTITY CASCADE")
        cursor.execute(_OWNERS, [owners])
        to_build = _drop_indexes(cursor) if indexes is None else indexes
        for begin in range(0, rows, CHUNK):
            places = {"begin": begin, "end": min(begin + CHUNK, rows), "rows": rows, "owners": owners}
            cursor.execute(statement, places)
        cursor.execute("SET maintenance_work_mem = '512MB'")
        for definition in to_build:
            cursor.execute(definition)
        cursor.execute("VACUUM (ANALYZE) classification_inference")
    return time.monotonic() - begin_s


def _drop_indexes(cursor: Any) -> Sequence[str]:
    """Drop all indexes except the primary key's and the one that finds the rows of a job. Returns their definitions."""
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'classification_inference' "
        "AND indexname NOT LIKE '%_pkey' AND indexname <> 'inference_of_job'"
    )
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [definition for _, definition in found]
