"""`python -m bench.large_table.plans`: what the queue's statements read. Prints JSON: the rows and ms of each."""

import json
from typing import Any

import django

django.setup()

from django.db import connection, transaction

from moon_vision_challenge.classification.queue import backlog, claims, gauges, sweep, turns
from moon_vision_challenge.classification.queue.turns import Lane

_PARAMETERS = {
    "queue": "inferences",
    "limit": 8,
    "bulk_limit": 8,
    "bulk": Lane.BULK.value,
    "token": "0" * 32,
    "lease": "2 minutes",
    "model_type": "efficientnet_lite0",
    "owner": 5,
    "begin": Lane.SINGLE.value,
    "end": Lane.SINGLE + turns.LANE_SIZE,
}
STATEMENTS: dict[str, tuple[str, Any]] = {
    "claim 8": (claims._CLAIM, _PARAMETERS),
    "find waiting": (claims._FIND_WAITING, _PARAMETERS),
    "next turn": (turns._NEXT_TURN, _PARAMETERS),
    "kinds of waiting rows": (sweep._WAITING_KINDS, None),
    "count up to 10,001": (backlog._COUNT_WAITING, [["inferences"], Lane.BULK.value, 10_001]),
    "metrics of the queue": (gauges._QUEUE_STATE, {"counted": gauges.COUNTED}),
}


def read(sql: str, parameters: Any) -> dict[str, float]:
    """Return the rows that scans of the table have read, and the milliseconds. Nothing changes."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", parameters)
        ((found,),) = cursor.fetchall()
        transaction.set_rollback(True)
    plan = json.loads(found)[0] if isinstance(found, str) else found[0]
    return {"rows": sum(map(_rows, _nodes(plan["Plan"]))), "ms": plan["Execution Time"]}


def _rows(node: dict[str, Any]) -> float:
    if node.get("Relation Name") != "classification_inference" or "Scan" not in node["Node Type"]:
        return 0
    return float(node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0))


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(each for child in plan.get("Plans", []) for each in _nodes(child))]


if __name__ == "__main__":
    print(json.dumps({name: read(*statement) for name, statement in STATEMENTS.items()}))
