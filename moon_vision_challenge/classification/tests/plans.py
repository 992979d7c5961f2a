"""How PostgreSQL executes a statement, whatever earlier tests have left behind."""

import json
from collections.abc import Mapping
from typing import Any

from django.db import connection


def empty_tables(*names: str) -> None:
    """Empty the tables until the end of the transaction.

    The rows of earlier tests are rolled back, but they stay in the pages of the table and its indexes, and the planner
    counts pages.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(names)} CASCADE")


def explain(sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Execute the statement, and return the nodes of its plan with the rows that they read."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters)
        ((found,),) = cursor.fetchall()
    plan = json.loads(found) if isinstance(found, str) else found
    return _nodes(plan[0]["Plan"])


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(each for child in plan.get("Plans", []) for each in _nodes(child))]
