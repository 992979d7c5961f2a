"""`python -m chaos.machines`: what several machines change, with real servers, and what it costs clients."""

import argparse
import sys
from collections.abc import Callable

from chaos.machines import behind_pgbouncer, lost_database, redis_failover, two_beats, two_releases
from chaos.report import report

RUNS: dict[str, Callable[[], dict[str, bool]]] = {
    "redis": redis_failover.run,
    "pgbouncer": behind_pgbouncer.run,
    "database": lost_database.run,
    "beats": two_beats.run,
    "releases": two_releases.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.machines", description=__doc__)
    parser.add_argument("runs", nargs="*", choices=[*RUNS, []], help=f"of {', '.join(RUNS)} (default: all)")
    options = parser.parse_args()
    promises: dict[str, bool] = {}
    for name in options.runs or RUNS:
        print(f"\n## {name}")
        promises |= RUNS[name]()
    return report(promises)


if __name__ == "__main__":
    sys.exit(main())
