"""Determines the order in which rows are claimed: start-time fair queueing between owners, in two lanes.

A row's turn is one greater than the turn of its owner's last waiting row, and at least the turn that the queue has
reached. Owners then alternate, and an owner's first row does not wait for the backlog of another.
Goyal, Vin, Cheng, "Start-time Fair Queuing", https://doi.org/10.1145/248156.248171
"""

import re
from enum import IntEnum

from django.db import connection
from django.db.models.expressions import RawSQL


class Lane(IntEnum):
    """The value is the lane's first turn. All rows of a lane are claimed before those of the next one."""

    SINGLE = 0
    """Rows that were created one by one."""
    BULK = 2**60
    """Rows of jobs."""


LANE_SIZE = 2**60

# Three reads of one index entry each. The first finds the turn that this model's rows have reached. If no such row
# waits, the second finds that of the queue. A row that waits for a retry keeps its early turn, so it does not count.
_NEXT_TURN = """
SELECT greatest(
    coalesce(
        (SELECT turn FROM classification_inference
         WHERE status = 'pending' AND queue = %(queue)s AND model_type = %(model_type)s
           AND turn >= %(begin)s AND turn < %(end)s AND available_at <= statement_timestamp()
         ORDER BY turn LIMIT 1),
        (SELECT turn FROM classification_inference
         WHERE status = 'pending' AND queue = %(queue)s
           AND turn >= %(begin)s AND turn < %(end)s AND available_at <= statement_timestamp()
         ORDER BY turn LIMIT 1)),
    (SELECT turn + 1 FROM classification_inference
     WHERE status = 'pending' AND queue = %(queue)s AND owner_id = %(owner)s AND turn >= %(begin)s AND turn < %(end)s
     ORDER BY turn DESC LIMIT 1),
    %(begin)s)
"""


# Django adds other values around the expression, by position.
_PLACES = re.findall(r"%\((\w+)\)s", _NEXT_TURN)
_NEXT_TURN_BY_POSITION = re.sub(r"%\(\w+\)s", "%s", _NEXT_TURN)


def next_turn(lane: Lane, *, queue: str, model_type: str, owner_id: int | None) -> RawSQL:
    """Return the turn of this owner's next row, as an expression for its INSERT."""
    parameters = _parameters(lane, queue, model_type, owner_id)
    return RawSQL(_NEXT_TURN_BY_POSITION, [parameters[name] for name in _PLACES])  # noqa: S611 - they are parameters


def read_next_turn(lane: Lane, *, queue: str, model_type: str, owner_id: int | None) -> int:
    """Return the turn as a number. Further rows of the same INSERT take the turns after it."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_TURN, _parameters(lane, queue, model_type, owner_id))
        (turn,) = cursor.fetchone()
        return int(turn)


def _parameters(lane: Lane, queue: str, model_type: str, owner_id: int | None) -> dict[str, int | str | None]:
    return {
        "queue": queue,
        "model_type": model_type,
        "owner": owner_id,
        "begin": lane.value,
        "end": lane + LANE_SIZE,
    }
