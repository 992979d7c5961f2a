"""Fair claims with many owners and millions of waiting rows: plans, claims per second, and waits for locks."""

import json
import statistics
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

from bench.large_table.fill import WAITING, connect, fill
from bench.running_services import service
from bench.table import table
from native.environment import ROOT

PROCESSES = (1, 2, 8)
LIMITS = (8, 32)
_WAITS = """
SELECT coalesce(wait_event_type, 'none') FROM pg_stat_activity
WHERE state = 'active' AND query LIKE '%classification_inference%' AND pid <> pg_backend_pid()
"""
# Owners have the same number of rows, so the number of finished ones differs at most by the rows in progress.
_SHARES = """
SELECT min(done), max(done) FROM (
    SELECT count(*) FILTER (WHERE status = 'done') AS done FROM classification_inference GROUP BY owner_id
) AS shares
"""


def measure(*, rows: int, owners: int, seconds: float) -> None:
    with service(env={"DATABASE_STATEMENT_TIMEOUT_S": "0"}) as services:
        url = services.env["DATABASE_URL"]
        print(
            f"{rows:,} waiting rows of {owners:,} owners, made in {fill(url, WAITING, rows=rows, owners=owners):.0f} s"
        )
        _print_plans(services.env)
        for limit in LIMITS:
            measured = [_claims(services.env, url, processes, limit, seconds) for processes in PROCESSES]
            head = [
                "processes",
                "rows/s",
                "claim ms (median, 99 %)",
                "end ms (median, 99 %)",
                "waits of active sessions",
            ]
            print(f"\nBatches of {limit}:\n" + table(head, measured))
        with connect(url).cursor() as cursor:
            cursor.execute(_SHARES)
            print("\nfinished rows of an owner: {} to {}".format(*cursor.fetchone()))
        _print_plans(services.env)


def _print_plans(env: dict[str, str]) -> None:
    found = _run(env, "bench.large_table.plans")
    rows = [[name, f"{each['rows']:,.0f}", f"{each['ms']:.2f}"] for name, each in found.items()]
    print("\n" + table(["statement", "rows read", "ms"], rows))


def _claims(env: dict[str, str], url: str, processes: int, limit: int, seconds: float) -> list[str]:
    command = [sys.executable, "-m", "bench.large_table.claimer", str(seconds), str(limit)]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    ended = threading.Event()
    waits: Counter[str] = Counter()
    sampler = threading.Thread(target=_sample, args=(url, ended, waits))
    sampler.start()
    found = [json.loads(each.communicate()[0]) for each in running]
    ended.set()
    sampler.join()
    claim_ms, end_ms = (sorted(ms for each in found for ms in each[name]) for name in ("claim_ms", "end_ms"))
    total = sum(waits.values()) or 1
    shares = ", ".join(f"{name} {count / total:.0%}" for name, count in waits.most_common())
    return [
        str(processes),
        f"{sum(each['rows'] for each in found) / seconds:.0f}",
        _both(claim_ms),
        _both(end_ms),
        shares,
    ]


def _both(values: list[float]) -> str:
    return f"{statistics.median(values):.1f}, {values[int(len(values) * 0.99)]:.1f}"


def _sample(url: str, ended: threading.Event, waits: Counter[str]) -> None:
    with connect(url).cursor() as cursor:
        while not ended.wait(0.05):
            cursor.execute(_WAITS)
            waits.update(kind for (kind,) in cursor.fetchall())


def _run(env: dict[str, str], module: str) -> Any:
    command = [sys.executable, "-m", module]
    return json.loads(subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True).stdout)
