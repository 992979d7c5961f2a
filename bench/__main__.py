"""`python -m bench [NAME …]`: measures the cost of requests. The default is v0 and v1. MEASUREMENTS has all names."""

import argparse
from collections.abc import Callable

from . import compare, jobs, large_photos, model_server, reuse, v0, v1

MEASUREMENTS: dict[str, Callable[..., object]] = {
    "v0": v0.measure,
    "v1": v1.measure,
    "drain": v1.measure_drain,
    "model_server": model_server.measure,
    "peers": compare.measure,
    "jobs": jobs.measure,
    "large_photos": large_photos.measure,
    "reuse": reuse.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the cost of requests.")
    parser.add_argument("what", nargs="*", help=f"of {', '.join(MEASUREMENTS)} (default: v0 v1)")
    parser.add_argument("--rounds", type=int, default=5, help="how often to repeat each measurement (default: 5)")
    parser.add_argument("--seconds", type=float, default=5, help="duration of each measurement (default: 5)")
    options = parser.parse_args()
    names = options.what or ["v0", "v1"]
    if unknown := sorted(set(names) - set(MEASUREMENTS)):
        parser.error(f"unknown measurement: {unknown[0]!r}")
    for name in names:
        MEASUREMENTS[name](rounds=options.rounds, seconds=options.seconds)


if __name__ == "__main__":
    main()
