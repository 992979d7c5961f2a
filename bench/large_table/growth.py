"""Measures what the statements of a request and of a worker cost while the table grows."""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from bench.large_table.fill import DONE, OWNERS_OF_GROWTH, WAITING, connect, fill
from bench.running_services import service
from bench.table import table
from native.environment import ROOT

SIZES = (1_000, 100_000, 1_000_000, 10_000_000)
WAITING_ROWS = 1_000
ENV = {
    "DATABASE_STATEMENT_TIMEOUT_S": "0",
    "INFERENCE_RETENTION_DAYS": "15",  # half of the rows are older
}


def measure(*, rows: int, owners: int, seconds: float) -> None:  # noqa: ARG001 - as the other measurements
    """Print what each step costs at each size up to `rows`."""
    found = measure_sizes([size for size in SIZES if size <= rows])
    last = found[max(found)]
    head = ["ms (pages) with … rows", *(f"{size:,}" for size in found), "indexes"]
    cells = [[name, *(_cell(each[name]) for each in found.values()), ", ".join(last[name]["plan"])] for name in last]
    print("\n" + table(head, cells))


def measure_sizes(sizes: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return what statements.py finds for each number of rows that are done. The number of waiting rows is the same."""
    found: dict[int, dict[str, Any]] = {}
    with service(env=ENV) as services:
        url = services.env["DATABASE_URL"]
        for size in sizes:
            filled_s = fill(url, DONE, rows=size, owners=OWNERS_OF_GROWTH)
            with connect(url).cursor() as cursor:
                cursor.execute(WAITING, {"begin": 0, "end": WAITING_ROWS, "owners": OWNERS_OF_GROWTH})
                cursor.execute("VACUUM (ANALYZE) classification_inference")
                cursor.execute("SELECT pg_total_relation_size('classification_inference')")
                (total,) = cursor.fetchone()
            found[size] = _run(services.env)
            print(f"{size:,} rows: {total / 1e9:.2f} GB with indexes, filled in {filled_s:.0f} s", flush=True)
        with connect(url).cursor() as cursor:
            cursor.execute("TRUNCATE classification_inference CASCADE")
    return found


def _cell(one: dict[str, Any]) -> str:
    return f"{one['ms']:.2f} ({one['pages']:,})"


def _run(env: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.large_table.statements"]
    output = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(output)
    return found
