"""`python -m bench.plan 10 1000 100000`: which pods v1 needs for each number of images per second, and what they cost.

The number of worker processes comes from the simulation of the queue: the fewest whose 95th percentile stays below
--latency. The rest is CPU time per image, divided by the part of a core that is used. You can override each figure.
"""

import argparse
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bench.queueing import Costs, percentile, simulate
from bench.table import table

USED = 0.6
"""The part of each core that is used, on average. The rest is for peaks, and for the loss of a zone."""
BUSY = 0.85
"""The part of a worker process's time that is busy. Above it, a short simulation would not show how the queue grows."""
CORES_PER_POD = 2
PROCESSES_PER_POD = 2


@dataclass(frozen=True)
class Figures:
    """The figures of docs/performance.md for 87 kB photos and EfficientNet-Lite0 in int8 on cores with AVX-512 VNNI."""

    web_cpu_ms: float = 2.6
    worker_cpu_ms: float = 1.7
    model_cpu_ms: float = 2.6
    request_s: float = 0.004
    """The time of a worker's request to the model, without its images."""
    image_s: float = 0.0045
    """The time of each image: 1.7 ms in the worker, and 2.6 on a core of the model server."""
    rows_per_s: float = 3000
    """The rate of one PostgreSQL. This is an assumption: measure yours."""
    commands_per_s: float = 50_000
    """The rate of one Redis. This is an assumption, too. An image takes about one command."""
    image_bytes: int = 87_000
    core_hour_usd: float = 0.04
    put_usd: float = 5e-6
    """The price of a PUT in an object store that charges for requests."""
    month_of_gb_usd: float = 0.023
    retention_days: float = 30


@dataclass(frozen=True)
class Plan:
    """Pods and servers for a rate."""

    rate: float
    web: int
    workers: int
    model_servers: int
    postgresql: int
    redis: int
    p95_s: float

    def usd_per_million(self, figures: Figures) -> tuple[float, float]:
        """Return the cost of the cores, and that of the images on S3."""
        cores = CORES_PER_POD * (self.web + self.workers + self.model_servers)
        compute = cores * figures.core_hour_usd / (self.rate * 3600) * 1e6
        months = figures.retention_days / 30
        return compute, 1e6 * (figures.put_usd + figures.image_bytes / 1e9 * figures.month_of_gb_usd * months)


def plan(rate: float, figures: Figures, *, latency_s: float) -> Plan:
    processes, p95_s = _processes(rate, figures, latency_s)
    return Plan(
        rate=rate,
        web=_pods(rate * figures.web_cpu_ms),
        workers=max(math.ceil(processes / PROCESSES_PER_POD), _pods(rate * figures.worker_cpu_ms)),
        model_servers=_pods(rate * figures.model_cpu_ms),
        postgresql=math.ceil(rate / figures.rows_per_s),
        redis=math.ceil(rate / figures.commands_per_s),
        p95_s=p95_s,
    )


def _pods(cpu_ms_per_s: float) -> int:
    return math.ceil(cpu_ms_per_s / 1000 / USED / CORES_PER_POD)


def _processes(rate: float, figures: Figures, latency_s: float) -> tuple[int, float]:
    """Return the fewest processes that suffice, and their 95th percentile."""
    costs = Costs(figures.request_s, figures.image_s, pause_s=0.003)
    arrivals = list(_arrivals(rate))
    processes = max(1, math.ceil(rate / costs.rate / BUSY))
    while (p95_s := percentile(simulate(arrivals, processes=processes, costs=costs), 0.95)) > latency_s:
        processes = math.ceil(processes * 1.05)
    return processes, p95_s


def _arrivals(rate: float, count: int = 200_000) -> Iterator[float]:
    """Yield random times of arrival, for ten minutes or up to `count`."""
    times, now = random.Random(1), 0.0
    for _ in range(min(count, int(600 * rate))):
        now += times.expovariate(rate)
        yield now


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.plan", description=__doc__)
    parser.add_argument("rates", nargs="+", type=float, metavar="IMAGES_PER_S")
    parser.add_argument("--latency", type=float, default=0.5, metavar="S", help="the 95th percentile (default: 0.5)")
    for name, value in vars(Figures()).items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=type(value), default=value, help="(default: %(default)s)"
        )
    options = vars(parser.parse_args())
    figures = Figures(**{name: options[name] for name in vars(Figures())})
    rows = []
    for rate in options["rates"]:
        found = plan(rate, figures, latency_s=options["latency"])
        compute, storage = found.usd_per_million(figures)
        pods = [found.web, found.workers, found.model_servers, found.postgresql, found.redis]
        rows.append([f"{rate:g}", *map(str, pods), f"{found.p95_s:.3f}", f"{compute:.2f}", f"{storage:.2f}"])
    head = ["Images/s", "Web", "Workers", "Model servers", "PostgreSQL", "Redis", "p95 s", "Cores $/M", "S3 $/M"]
    sys.stdout.write(table(head, rows) + "\n")


if __name__ == "__main__":
    main()
