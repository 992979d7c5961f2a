"""A simulation of v1's queue: how long inferences wait, given when they arrive and what a batch costs a worker process.

It follows queue/worker.py. A process claims up to INFERENCE_BATCH_SIZE rows. While more wait, it claims twice as many
each time, up to four times the size, until its turn of one second ends. It sends the model one request for each eight
images, one after the other, and ends all rows of a claim together.
"""

import heapq
import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

BATCH = 8  # INFERENCE_BATCH_SIZE
LARGEST = 4 * BATCH
TURN_S = 1.0


@dataclass(frozen=True)
class Batch:
    """A measured claim of one worker process."""

    images: int
    seconds: float
    """The time from the claim to the stored result."""
    pause_s: float
    """The time since the previous batch ended, while rows waited. Negative or long pauses belong to an idle worker."""


@dataclass(frozen=True)
class Costs:
    """What a claim costs a worker process, in seconds."""

    request_s: float
    """The cost of each request to the model."""
    image_s: float
    """The cost of each image, on top of its request."""
    pause_s: float
    """The pause between two claims."""

    def of(self, images: int) -> float:
        return self.request_s * math.ceil(images / BATCH) + self.image_s * images

    @property
    def rate(self) -> float:
        """The highest rate of one process in images per second."""
        return LARGEST / (self.of(LARGEST) + self.pause_s)


def fit(batches: Sequence[Batch]) -> Costs:
    """Fit the costs to the batches by least squares. The batches must have several sizes."""
    sizes = np.array([[math.ceil(each.images / BATCH), each.images] for each in batches], dtype=float)
    (request_s, image_s), *_ = np.linalg.lstsq(sizes, np.array([each.seconds for each in batches]), rcond=None)
    pauses = sorted(each.pause_s for each in batches if 0 <= each.pause_s < TURN_S)
    return Costs(float(request_s), float(image_s), pauses[len(pauses) // 2] if pauses else 0.0)


def simulate(arrivals: Iterable[float], *, processes: int, costs: Costs) -> list[float]:
    """Return the seconds from the arrival of each inference to its result, in the order of arrival.

    Args:
        arrivals: seconds, in ascending order.
        processes: the processes of all workers together.
    """
    times, done = list(arrivals), []
    # When each process is free, the end of its turn, and how many rows it claims then.
    free = [(0.0, 0.0, BATCH) for _ in range(processes)]
    first = 0
    while first < len(times):
        free_at, turn_end, limit = heapq.heappop(free)
        start = max(free_at, times[first])
        if start > free_at or start >= turn_end:
            turn_end, limit = start + TURN_S, BATCH
        waiting = bisect_right(times, start) - first
        images = min(limit, waiting)
        end = start + costs.pause_s + costs.of(images)
        done += [end - arrived for arrived in times[first : first + images]]
        first += images
        has_more = waiting >= limit
        heapq.heappush(free, (end, turn_end if has_more else end, min(2 * limit, LARGEST)))
    return done


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]
