"""`python -m chaos.hostile`: measures what each image of the corpus costs a running service and its other clients.

All services run as in `make run`, with separate data in .run/hostile. Each image goes through v0 and v1. Then
clients post the images beside one that posts valid photos. At the end, memory is compared with that after the first
round.
"""

import argparse
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.table import table
from chaos.corpus import CASES, Case, sound
from chaos.hostile.meter import Meter
from chaos.hostile.uploads import DEAREST, MAX_IMAGE_BYTES, Neighbour, Result, ask_v0, ask_v1, post, try_case
from native.environment import ROOT, RUN_DIR, free_port
from native.services import Services, running

FOUNDATIONS = ["postgres", "redis", "model_server"]
NAMES = ("web", "worker", "beat")
HOSTILE_CLIENTS = 2
ROUNDS = 3
"""How often quiet and hostile periods alternate, so that a disturbance of the machine affects both."""
MAX_CPU_RATIO, MAX_MEMORY_RATIO = 1.5, 1.2
"""The limits relative to the most expensive valid image."""
MAX_GROWTH_BYTES = 50_000_000
ROWS_SHOWN = 12
SHORT_STEP = 20
MIN_SECONDS = 6
"""One second for each period. A 95th percentile needs some photos."""


@dataclass(frozen=True)
class Stage:
    url: str
    web: Meter
    worker: Meter

    def bytes(self) -> dict[str, int]:
        """Return the memory of each process."""
        meters = {"web": self.web, "worker": self.worker}
        return {f"{name} {process}": size for name, meter in meters.items() for process, size in meter.bytes().items()}


@contextmanager
def staged() -> Iterator[tuple[Stage, Services]]:
    own = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "TF_SERVING_URL"), "")
    own |= {"WEB_PORT": str(free_port()), "FLOWER_PORT": str(free_port()), "API_ANON_RATE": "1000000/s"}
    with running(FOUNDATIONS, run_dir=RUN_DIR / "hostile", env=own) as services:
        for command in (["migrate", "-v0"], ["flush", "--no-input", "-v0"]):
            subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=services.env, check=True)
        for name in NAMES:
            services.start(name)
        services.wait_until_ready(*NAMES)
        meters = (Meter(services.pid(name)) for name in ("web", "worker"))
        yield Stage(f"http://127.0.0.1:{services.env['WEB_PORT']}", *meters), services


def warm_up(stage: Stage) -> None:
    """Start the decoders of all processes. New connections reach all of them."""
    pictures = [case.make() for case in sound.CASES if case.name in ("sound: JPEG, RGB", "sound: TIFF, RGB")]
    for data, _ in itertools.product(pictures, range(10)):
        ask_v0(stage.url, data)
        ask_v1(stage.url, data)


def show(results: Sequence[Result]) -> None:
    def row(result: Result) -> list[str]:
        cpu = [f"{seconds * 1e3:.0f}" for seconds in (result.v0_cpu_s, result.v1_cpu_s)]
        return [result.case.name, f"{result.v0.status}, {result.v1.status}", *cpu, f"{result.peak_bytes / 1e6:.0f}"]

    dearest = sorted(results, key=lambda result: -max(result.v0_cpu_s, result.v1_cpu_s))[:ROWS_SHOWN]
    largest = sorted(results, key=lambda result: -result.peak_bytes)[:ROWS_SHOWN]
    shown = {result.case.name: result for result in (*dearest, *largest)}
    rows = [row(result) for result in shown.values()]
    print("\n" + table(["picture", "v0, v1", "v0 CPU ms", "v1 CPU ms", "largest process MB"], rows))
    for result in results:
        if not (result.agrees and result.is_as_expected):
            print(f"wrong: {result.case.name} ({result.case.verdict}): v0 {result.v0}, v1 {result.v1}")


def judge_costs(results: Sequence[Result], dearest: Sequence[Result]) -> dict[str, bool]:
    statuses = {answer.status for result in results for answer in (result.v0, result.v1)}
    return {
        "no answer was 500 or above": max(statuses) < 500,
        "v0 and v1 agreed on every picture, and every accepted row was done": all(each.agrees for each in results),
        "every picture was accepted or refused as the corpus says": all(each.is_as_expected for each in results),
        **compare_costs([result for result in results if result.v0.status == 200], dearest),
    }


def compare_costs(accepted: Sequence[Result], dearest: Sequence[Result]) -> dict[str, bool]:
    """Return no checks if every image was refused, because there is nothing to compare."""
    if not accepted:
        return {}

    def worst(of: Sequence[Result]) -> tuple[float, ...]:
        return tuple(max(column) for column in zip(*[each[3:] for each in of], strict=True))

    ratios = [mine / its for mine, its in zip(worst(accepted), worst(dearest), strict=True)]
    print("\nRelative to the costliest valid image: CPU of v0 {:.2f}, CPU of v1 {:.2f}, memory {:.2f}".format(*ratios))
    return {
        f"nothing accepted took more than {MAX_CPU_RATIO} times the CPU time of the most expensive valid image": max(
            ratios[:2]
        )
        <= MAX_CPU_RATIO,
        f"nothing accepted took more than {MAX_MEMORY_RATIO} times its memory": ratios[2] <= MAX_MEMORY_RATIO,
    }


def try_neighbours(stage: Stage, cases: Sequence[Case], seconds: float, max_ratio: float) -> dict[str, bool]:
    """Compare how fast one client's valid photos are classified, with and without hostile clients beside it."""
    made = [case.make() for case in cases]
    pictures = itertools.cycle([data for data in made if len(data) < MAX_IMAGE_BYTES] or made)
    lock, statuses = threading.Lock(), set[int]()
    quiet, beside = Neighbour(stage.url), Neighbour(stage.url)

    def attack(stop: threading.Event) -> None:
        while not stop.is_set():
            with lock:
                data = next(pictures)
            statuses.add(post(stage.url, "v0", data).status_code)

    for _ in range(ROUNDS):
        for neighbour, attackers in ((quiet, 0), (beside, HOSTILE_CLIENTS)):
            stop = threading.Event()
            threads = [threading.Thread(target=neighbour.post_until, args=(stop,))]
            threads += [threading.Thread(target=attack, args=(stop,)) for _ in range(attackers)]
            for thread in threads:
                thread.start()
            stop.wait(seconds / ROUNDS / 2)
            stop.set()
            for thread in threads:
                thread.join()
    ratio = beside.p95_s / quiet.p95_s
    print(
        f"\nSound photos: p95 {quiet.p95_s * 1e3:.0f} ms alone, {beside.p95_s * 1e3:.0f} ms beside {HOSTILE_CLIENTS} "
        f"hostile clients: {ratio:.1f} times. Hostile clients got {sorted(statuses)}."
    )
    return {
        f"p95 of valid photos beside hostile clients was at most {max_ratio:g} times that without": ratio <= max_ratio,
        "every valid photo was classified": not quiet.failures and not beside.failures,
        "hostile clients got no 500, 502 or 504": not statuses & {500, 502, 504},
    }


def try_memory(stage: Stage, cases: Sequence[Case], uploads: int) -> dict[str, bool]:
    """Upload the same images twice. The first time starts what starts on demand. A leak continues the second time."""
    start, warm, end = stage.bytes(), upload(stage, cases, uploads), upload(stage, cases, uploads)
    print(f"\nMemory before, after {uploads} uploads, and after {uploads} more")
    for name in end:
        before = f"{start[name] / 1e6:.0f}" if name in start else "not started"
        print(f"{name}: {before}, {warm.get(name, 0) / 1e6:.0f}, {end[name] / 1e6:.0f} MB")
    growth = {name: end[name] - warm[name] for name in end if name in warm}
    return {
        f"{uploads} more uploads let no process grow by more than {MAX_GROWTH_BYTES / 1e6:.0f} MB": max(growth.values())
        <= MAX_GROWTH_BYTES
    }


def upload(stage: Stage, cases: Sequence[Case], uploads: int) -> dict[str, int]:
    """Upload images, and return the memory of each process afterward."""
    for number, case in zip(range(uploads), itertools.cycle(cases), strict=False):
        ask = ask_v1 if number // len(cases) % 2 else ask_v0
        ask(stage.url, case.make())
    return stage.bytes()


def choose(start: str, *, is_short: bool) -> list[Case]:
    return [case for case in CASES if case.name.startswith(start)][:: SHORT_STEP if is_short else 1]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m chaos.hostile", description="Posts hostile pictures, and checks what they cost."
    )
    parser.add_argument("--short", action="store_true", help=f"one picture in {SHORT_STEP}, 60 uploads, 20 seconds")
    parser.add_argument("--only", default="", help="the start of the names of pictures, such as png")
    parser.add_argument("--uploads", type=int, default=1000, help="how many uploads memory is compared after")
    parser.add_argument("--seconds", type=float, default=60, help="how long valid photos are posted (default: 60)")
    parser.add_argument("--max-ratio", type=float, default=6, help="of the p95 of valid photos (default: 6)")
    options = parser.parse_args(argv)
    uploads, seconds = (60, 20.0) if options.short else (options.uploads, options.seconds)
    cases = choose(options.only, is_short=options.short)
    if not cases:
        kinds = sorted({case.name.partition(":")[0].partition(",")[0] for case in CASES})
        parser.error(f"no picture's name begins with {options.only!r}. The names begin with {', '.join(kinds)}.")
    if seconds < MIN_SECONDS:
        parser.error(f"--seconds must be at least {MIN_SECONDS}.")
    with staged() as (stage, services):
        warm_up(stage)
        print(f"{len(cases)} of {len(CASES)} pictures")
        dearest = [try_case(stage.url, case, stage.web, stage.worker) for case in DEAREST]
        results = [try_case(stage.url, case, stage.web, stage.worker) for case in cases]
        show([*dearest, *results])
        checks = judge_costs(results, dearest)
        checks |= try_neighbours(stage, cases, seconds, options.max_ratio)
        checks |= try_memory(stage, cases, uploads)
        services.check()
    print()
    for what, holds in checks.items():
        print(f"{'passed' if holds else 'FAILED'}  {what}")
    return 0 if all(checks.values()) else 1
