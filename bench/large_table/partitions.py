"""Compares what statements cost on the table as it is and with the same rows in native partitions by id ranges."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.large_table.fill import DONE, WAITING, connect, fill
from bench.running_services import service
from bench.table import table
from native.environment import ROOT

WAITING_ROWS = 10_000
REPEATED = 500
BATCHES = 100
_RENAMED = "classification_inference_as_it_is"

# The same queries as RowsOfOwner makes. The claim is the worker's own.
_GET = "SELECT * FROM classification_inference WHERE id = %(id)s"
_HISTORY = """
SELECT * FROM classification_inference WHERE owner_id >= %(owner)s AND owner_id <= %(owner)s
ORDER BY owner_id DESC, created_at DESC, id DESC LIMIT 51
"""
_POST = """
INSERT INTO classification_inference (
    owner_id, model_type, image, label, predictions, version_label, status, attempts, webhook_url
) VALUES (%(owner)s, 'efficientnet_lite0', 'inferences/x.jpg', '', '[]', '', 'pending', 0, '')
"""
_DELETE = """
WITH old AS MATERIALIZED (
    SELECT id FROM classification_inference WHERE finished_at < now() AND job_id IS NULL
    ORDER BY finished_at LIMIT 500 FOR UPDATE SKIP LOCKED
)
DELETE FROM classification_inference WHERE id IN (SELECT id FROM old)
"""
_INDEXES = """
SELECT indexdef FROM pg_indexes WHERE tablename = 'classification_inference'
AND indexname NOT LIKE '%_pkey' AND indexname <> 'inference_of_job'
"""


def measure(*, rows: int, owners: int, seconds: float) -> None:
    with service(env={"DATABASE_STATEMENT_TIMEOUT_S": "0"}) as services:
        url = services.env["DATABASE_URL"]
        as_it_is = _figures(services.env, url, rows, owners, seconds, indexes=None)
        try:
            indexes = _partition(url, rows)
            partitioned = _figures(services.env, url, rows, owners, seconds, indexes=indexes)
            drop_ms = _time_ms(url, f"DROP TABLE {_name(1)}")
        finally:
            _restore(url)
    head = ["", "as it is", f"{_count(rows)} partitions"]
    print(table(head, [[name, as_it_is[name], partitioned[name]] for name in as_it_is]))
    print(f"\nTo drop a partition of {_size(rows):,} rows takes {drop_ms:.0f} ms.")


def _figures(
    env: dict[str, str], url: str, rows: int, owners: int, seconds: float, *, indexes: Sequence[str] | None
) -> dict[str, str]:
    rng = random.Random(1)
    filled_s = fill(url, DONE, rows=rows, owners=owners, indexes=indexes)
    with connect(url).cursor() as cursor:
        cursor.execute(WAITING, {"begin": 0, "end": WAITING_ROWS, "owners": owners})
        cursor.execute("ANALYZE classification_inference")
        cursor.execute("SET synchronous_commit = off")  # the disk is the same for both

        def repeat(statement: str, times: int, parameters: Callable[[], dict[str, int]]) -> str:
            begin = time.perf_counter()
            for _ in range(times):
                cursor.execute(statement, parameters())
            return f"{(time.perf_counter() - begin) / times * 1e3:.2f}"

        found = {"fill and index, s": f"{filled_s:.0f}"}
        found["get by id, ms"] = repeat(_GET, REPEATED, lambda: {"id": rng.randint(1, rows)})
        found["page of the history, ms"] = repeat(_HISTORY, REPEATED, lambda: {"owner": rng.randint(1, owners)})
        found["post, ms"] = repeat(_POST, REPEATED, lambda: {"owner": rng.randint(1, owners)})
        claims = _claim(env, seconds)
        found["claim 8 rows, ms"], found["end 8 rows, ms"] = (
            f"{sorted(claims[name])[len(claims[name]) // 2]:.2f}" for name in ("claim_ms", "end_ms")
        )
        found["size with indexes, GB"] = f"{_total_bytes(cursor) / 1e9:.1f}"
        found["delete 500 old rows, ms"] = repeat(_DELETE, BATCHES, dict)
    found["vacuum after that, s"] = f"{_time_ms(url, 'VACUUM classification_inference') / 1e3:.1f}"
    return found


def _claim(env: dict[str, str], seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.large_table.claimer", str(seconds), "8"]
    output = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(output)
    return found


def _total_bytes(cursor: Any) -> int:
    cursor.execute(
        "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('classification_inference') WHERE isleaf"
    )
    (found,) = cursor.fetchone()
    if found is None:
        cursor.execute("SELECT pg_total_relation_size('classification_inference')")
        (found,) = cursor.fetchone()
    return int(found)


def _time_ms(url: str, statement: str) -> float:
    with connect(url).cursor() as cursor:
        begin = time.perf_counter()
        cursor.execute(statement)
        return (time.perf_counter() - begin) * 1e3


def _size(rows: int) -> int:
    """Return the number of rows in a partition."""
    return max(1, rows // 10)


def _count(rows: int) -> int:
    return rows // _size(rows) + 2


def _name(number: int) -> str:
    return f"classification_inference_{number}"


def _partition(url: str, rows: int) -> list[str]:
    """Replace the table with an empty, partitioned one. Returns the definitions of its indexes.

    The unique index of the rows of a job is left out, because PostgreSQL allows only unique indexes that include it.
    """
    with connect(url).cursor() as cursor:
        cursor.execute("TRUNCATE classification_inference CASCADE")
        cursor.execute(_INDEXES)
        indexes = [definition for (definition,) in cursor.fetchall()]
        cursor.execute(f"ALTER TABLE classification_inference RENAME TO {_RENAMED}")
        cursor.execute(
            f"CREATE TABLE classification_inference (LIKE {_RENAMED} INCLUDING DEFAULTS INCLUDING IDENTITY, "
            "PRIMARY KEY (id)) PARTITION BY RANGE (id)"
        )
        size = _size(rows)
        for number in range(_count(rows)):
            cursor.execute(
                f"CREATE TABLE {_name(number)} PARTITION OF classification_inference "
                f"FOR VALUES FROM ({number * size}) TO ({(number + 1) * size})"
            )
    # The names are those of the table's own indexes, so let PostgreSQL choose others.
    return [definition.replace(definition.split(" ON ")[0], "CREATE INDEX", 1) for definition in indexes]


def _restore(url: str) -> None:
    with connect(url).cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [_RENAMED])
        if cursor.fetchone() != (None,):
            cursor.execute("DROP TABLE IF EXISTS classification_inference CASCADE")
            cursor.execute(f"ALTER TABLE {_RENAMED} RENAME TO classification_inference")
