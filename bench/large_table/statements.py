"""`python -m bench.large_table.statements`: what a request and a worker do with the table, and what PostgreSQL reads.

Needs the environment of a worker, and a table that growth.py has filled. Prints JSON: step → milliseconds, pages, and
the indexes of its plans.
"""

import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.db import connection, transaction

from bench.large_table.fill import OWNERS_OF_GROWTH
from moon_vision_challenge.classification import services
from moon_vision_challenge.classification.abstract_classificator import Prediction
from moon_vision_challenge.classification.api.history import RowsOfOwner
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import backlog, claims, retention
from moon_vision_challenge.classification.queue.claims import AttemptOutcome

REPEATED = 9
BATCH, PAGE, DELETED = 8, 51, 50
_TABLE = "classification_inference"
_PREDICTIONS = [Prediction("espresso", 0.9, 967), Prediction("cup", 0.05, 968)]


class Steps:
    """Steps, each call of which does the same work on other rows."""

    def __init__(self) -> None:
        self._random = random.Random(1)
        done = Inference.objects.filter(status="done")
        self._last = done.order_by("-id").values_list("id", flat=True)[0]
        waiting = Inference.objects.filter(status="pending").order_by("-turn")
        self._waiting = list(waiting.values_list("id", flat=True)[: 2 * REPEATED])
        self._claimed: list[list[Inference]] = []

    def insert(self) -> None:
        owner_id = self._owner_of(self._random.randrange(OWNERS_OF_GROWTH))
        row = Inference(
            owner_id=owner_id, model_type="efficientnet_lite0", queue="inferences", image="inferences/x.jpg"
        )
        services._insert_row(row)

    def claim(self) -> None:
        self._claimed.append(claims.claim_waiting(queue="inferences", limit=BATCH, lease=timedelta(minutes=2)))

    def end(self) -> None:
        rows = self._claimed.pop(0)
        claims.end_attempts(
            [AttemptOutcome(row, Inference.STATUS.DONE, "espresso", predictions=_PREDICTIONS) for row in rows]
        )

    def get(self) -> None:
        number = self._random.randrange(self._last)
        Inference.objects.filter(owner_id=self._owner_of(number)).get(pk=number + 1)

    def history(self) -> None:
        self._page({})

    def history_of_a_status(self) -> None:
        self._page({"status": "done"})

    def cancel(self) -> None:
        services.cancel_inference(inference_id=self._waiting.pop(), actor="bench")

    def count_waiting(self) -> None:
        backlog.WaitingCount().up_to(10_001)

    def delete(self) -> None:
        retention.delete_old_inferences(limit=DELETED)

    def _owner_of(self, number: int) -> int:
        """Return the owner of a row, as fill.py numbers rows and owners."""
        return 1 + number % OWNERS_OF_GROWTH

    def _page(self, filters: dict[str, str]) -> None:
        owner_id = self._owner_of(self._random.randrange(OWNERS_OF_GROWTH))
        list(RowsOfOwner(Inference).of(owner_id, filters).order_by("-created_at", "-id")[:PAGE])


def main() -> None:
    steps = Steps()
    named: dict[str, Callable[[], None]] = {
        "insert (v1 POST)": steps.insert,
        f"claim {BATCH}": steps.claim,
        f"end {BATCH}": steps.end,
        "GET": steps.get,
        "history, a page": steps.history,
        "history of a status, a page": steps.history_of_a_status,
        "cancel": steps.cancel,
        "back-pressure (count of waiting rows)": steps.count_waiting,
        f"retention, {DELETED} rows": steps.delete,
    }
    found: dict[str, dict[str, Any]] = {name: {"ms": _median_ms(step)} for name, step in named.items()}
    steps.claim()
    for name, step in named.items():
        with explained() as plans:
            step()
        found[name] |= {"pages": sum(map(_pages, plans)), "plan": sorted(set().union(*map(_scans, plans)))}
    print(json.dumps(found))


def _median_ms(step: Callable[[], None]) -> float:
    spent_ms = []
    for _ in range(REPEATED):
        begin = time.perf_counter()
        step()
        spent_ms.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(spent_ms)


@contextmanager
def explained() -> Iterator[list[dict[str, Any]]]:
    """Yield the plans of the statements on the table. Each runs once more and is rolled back before it takes effect."""
    plans: list[dict[str, Any]] = []

    def explain(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if _TABLE in sql and not sql.startswith("EXPLAIN"):
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
                plans.append(cursor.fetchone()[0][0]["Plan"])
                transaction.set_rollback(True)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield plans


def _pages(plan: dict[str, Any]) -> int:
    """Return the pages of 8 kB that a plan reads, of tables and indexes, in memory or not."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def _scans(node: dict[str, Any]) -> set[str]:
    """Return the indexes that a plan reads, and the tables that it reads as a whole."""
    found = {node["Index Name"]} if "Index Name" in node else set()
    if node["Node Type"] == "Seq Scan":
        found = {f"all of {node['Relation Name']}"}
    return found.union(*map(_scans, node.get("Plans", [])))


if __name__ == "__main__":
    main()
