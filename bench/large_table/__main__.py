"""`python -m bench.large_table fairness`, `growth` or `partitions`: what millions of rows cost."""

import argparse
from collections.abc import Callable

from bench.large_table import fairness, growth, partitions

MEASUREMENTS: dict[str, Callable[..., None]] = {
    "fairness": fairness.measure,
    "growth": growth.measure,
    "partitions": partitions.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.large_table", description=__doc__)
    parser.add_argument("what", choices=list(MEASUREMENTS))
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows to generate (default: 1,000,000)")
    parser.add_argument("--owners", type=int, default=1_000, help="their owners (default: 1,000)")
    parser.add_argument("--seconds", type=float, default=10, help="duration of each measurement (default: 10)")
    options = parser.parse_args()
    MEASUREMENTS[options.what](rows=options.rows, owners=options.owners, seconds=options.seconds)


if __name__ == "__main__":
    main()
