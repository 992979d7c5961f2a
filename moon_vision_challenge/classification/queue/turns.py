"""In which order rows are claimed: by start-time fair queueing between owners, in two lanes.

Goyal, Vin, Cheng, "Start-time Fair Queuing", https://doi.org/10.1145/248156.248171: a row's turn follows the last
waiting row of its owner, and is never before the turn that the queue has reached. So owners alternate, and the first
row of an owner waits for nobody's backlog.
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

# Three reads of one index entry each. The first finds the turn that this model's rows have reached. If none wait, the
# second finds the queue's. A row that waits for a retry has kept its early turn, so it does not count.
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


def next_turn(lane: Lane, *, queue: str, model_type: str, owner_id: int | None) -> RawSQL:
    """The turn of this owner's next row, as an expression for its INSERT."""
    parameters: dict[str, int | str | None] = {
        "queue": queue,
        "model_type": model_type,
        "owner": owner_id,
        "begin": lane.value,
        "end": lane + LANE_SIZE,
    }
    return RawSQL(*_positional(_NEXT_TURN, parameters))  # noqa: S611 - the values are parameters


def read_next_turn(lane: Lane, *, queue: str, model_type: str, owner_id: int | None) -> int:
    """The same as a number. Further rows of the same INSERT take the turns after it."""
    expression = next_turn(lane, queue=queue, model_type=model_type, owner_id=owner_id)
    with connection.cursor() as cursor:
        cursor.execute(expression.sql, expression.params)
        (turn,) = cursor.fetchone()
        return int(turn)


def _positional(sql: str, parameters: dict[str, int | str | None]) -> tuple[str, list[int | str | None]]:
    """Django puts other values around the expression, by their position."""
    names = re.findall(r"%\((\w+)\)s", sql)
    return re.sub(r"%\(\w+\)s", "%s", sql), [parameters[name] for name in names]
