"""`python -m chaos.outages`: measures what each neighbour's failure costs clients, in status codes and seconds.

All services run as in `make run`, with separate data in .run/outages. Each neighbour is behind a proxy, so that it can
be slow or wrong. To be down, it is killed. To hang, it is stopped.
"""

import argparse
import sys
import time

from bench.table import table
from chaos.outages.answers import Clients, is_done, questions, works
from chaos.outages.cells import NOT_NEEDED_BY_V0, Cell, cells
from chaos.outages.stage import Stage, staged
from native.process import poll
from native.services import ServiceDiedError

RECOVER_TIMEOUT_S = 180  # longer than a lease
PROCESSES_TRIED = 4
"""Each of the two web processes must notice by itself that a neighbour is back."""
COLUMNS = ("neighbour", "failure", "v0", "v1 POST", "v1 GET", "/livez", "/readyz", "/status", "rows", "works again")
LIVEZ_S = 5.0
"""The longest time for a process to report that it is alive, on a busy machine. Load balancers wait as long."""


def run_cell(stage: Stage, cell: Cell, duration_s: float) -> tuple[list[str], list[str]]:
    """Make the neighbour fail, send every kind of request meanwhile, and restore it.

    Returns a row of the table, and the promises that were broken.
    """
    created: list[str] = []
    asked = questions(stage.url, created)
    # As in a service that has run for a while, each web process knows its model.
    assert poll(lambda: _works(stage), RECOVER_TIMEOUT_S)
    cell.begin(stage)
    clients = Clients(asked, duration_s)
    times = 1
    while cell.every_s is not None and clients.are_asking:
        time.sleep(cell.every_s)  # between two replacements
        cell.begin(stage)
        times += 1
    clients.join()
    done = sum(is_done(row) for row in created) if cell.neighbour != "postgres" else 0
    rows = f"{done} of {len(created)} done" if created else "none accepted"
    cell.end(stage)
    healed = time.monotonic()
    ended: list[str] = []
    recovered = poll(lambda: _has_recovered(stage, created, ended), RECOVER_TIMEOUT_S)
    back = f"{time.monotonic() - healed:.1f} s" if recovered else f"not within {RECOVER_TIMEOUT_S} s"
    asked_v0 = clients.answers["v0"].codes.total()
    failure = cell.manner if cell.every_s is None else f"{cell.manner} {times} times in {asked_v0} requests"
    row = [cell.neighbour, failure, *map(str, clients.answers.values()), rows, back]
    broken = [f"{name} ended" for name in ended] + _broken_promises(cell, clients)
    return row, broken if recovered else [*broken, "it did not recover"]


def _has_recovered(stage: Stage, created: list[str], ended: list[str]) -> bool:
    try:
        stage.services.check()
    except ServiceDiedError:  # as compose and `make run` do
        for name in stage.services.dead():
            ended.append(name)
            stage.services.kill(name)
            stage.services.start(name, stage.env)
    return all(map(is_done, created)) and _works(stage)


def _works(stage: Stage) -> bool:
    return all(works(stage.url) for _ in range(PROCESSES_TRIED))


def _broken_promises(cell: Cell, clients: Clients) -> list[str]:
    answers = clients.answers
    broken = []
    if answers["livez"].codes.keys() != {"200"} or answers["livez"].longest_s > LIVEZ_S:
        broken.append(f"/livez is always 200 within {LIVEZ_S:g} s")
    if cell.neighbour in NOT_NEEDED_BY_V0 and answers["v0"].codes.keys() != {"200"}:
        broken.append("v0 does not need it")
    if cell.manner == "replaced" and answers["v0"].codes.keys() != {"200"}:
        broken.append("a replacement costs no request")
    if any(code.startswith("5") and code not in {"503", "504"} for each in answers.values() for code in each.codes):
        broken.append("an outage is 503 or 504")
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.outages", description="Measures what an outage costs.")
    parser.add_argument("--seconds", type=float, default=20, help="how long each outage lasts (default: 20)")
    parser.add_argument("--only", default="", help="neighbours, or a neighbour and a failure: s3,redis:full")
    options = parser.parse_args()
    only = tuple(options.only.split(","))
    rows, failed = [], 0
    for on_s3 in (False, True):
        if only != ("",) and all(on_s3 != each.startswith(("s3", "names")) for each in only):
            continue
        with staged(on_s3=on_s3) as stage:
            for cell in cells(stage):
                if f"{cell.neighbour}:{cell.manner}".startswith(only):
                    row, broken = run_cell(stage, cell, options.seconds)
                    rows.append(row)
                    failed += bool(broken)
                    print(" | ".join([*row, *(f"BROKEN: {promise}" for promise in broken)]), flush=True)
    print("\n" + table(list(COLUMNS), rows))
    print("Disks and name servers are tried only if root runs this, and may mount file systems.")
    print(f"\n{len(rows) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
