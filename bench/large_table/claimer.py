"""`python -m bench.large_table.claimer SECONDS LIMIT`: claims rows and ends them, like a worker without a model.

Needs the environment of a worker. Prints JSON: the rows, and the milliseconds of each claim and of each end.
"""

import json
import sys
import time
from datetime import timedelta

import django

django.setup()

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.queue import claims
from moon_vision_challenge.classification.queue.claims import AttemptOutcome

LEASE = timedelta(minutes=2)


def claim_for(seconds: float, limit: int) -> dict[str, object]:
    rows, claim_ms, end_ms = 0, [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        claimed = claims.claim_waiting(queue="inferences", limit=limit, lease=LEASE)
        claim_ms.append((time.perf_counter() - begin) * 1e3)
        begin = time.perf_counter()
        claims.end_attempts([AttemptOutcome(row, Inference.STATUS.DONE, "espresso") for row in claimed])
        end_ms.append((time.perf_counter() - begin) * 1e3)
        rows += len(claimed)
    return {"rows": rows, "claim_ms": claim_ms, "end_ms": end_ms}


if __name__ == "__main__":
    print(json.dumps(claim_for(float(sys.argv[1]), int(sys.argv[2]))))
