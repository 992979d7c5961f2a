"""`python -m chaos`: posts inferences while it kills every service. No inference may be lost.

All services run as in `make run`, with separate data in .run/chaos. The seed determines which faults happen and when,
but not the state that they hit, so you may need several runs to reproduce a failure.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from redis import Redis

from bench.persistent_clients import TIMEOUT_S, Posted, pictures, post, post_until_accepted
from bench.table import table
from chaos import faults
from chaos.hostile import runner as hostile
from chaos.report import report
from chaos.rows import COUNT_FINISHES, query
from native.environment import ROOT, RUN_DIR, CannotRunError, free_public_ports
from native.process import poll
from native.readiness import MODEL
from native.services import Services, running

NAMES = ("postgres", "redis", "model_server", "web", "worker", "webhook_worker", "beat", "flower")
CLIENTS = 8
ACCEPT_TIMEOUT_S = 60  # after the last fault, every inference must be accepted within this time
FINISH_TIMEOUT_S = 150  # after that, every row must be final in this time, more than the longest backoff and a lease

ROWS = """
SELECT id, status, label, image, attempts, (SELECT count(*) FROM chaos_finish WHERE inference_id = id)
FROM classification_inference
"""


def run(services: Services, *, inferences: int, seed: int, rounds: int) -> dict[str, bool]:
    """Run the faults and the clients. Returns each check and whether it holds."""
    rng = random.Random(seed)
    url = f"http://127.0.0.1:{services.env['WEB_PORT']}"
    labels = {data: post(url, "v0", data).json()["label"] for data in pictures()}
    plan = faults.plan(rng, rounds=rounds)
    end_s = max(fault.at_s + fault.pause_s for fault in plan)
    begin = time.monotonic()
    posted = Posted()

    def client(number: int, at_s: float, data: bytes) -> None:
        posted.stop.wait(max(0.0, begin + at_s - time.monotonic()))
        deadline = begin + end_s + ACCEPT_TIMEOUT_S
        post_until_accepted(url, data, random.Random(f"{seed} {number}"), deadline, posted)

    # Half of the inferences come at a random time, and half right before a fault, so that it hits work in progress.
    at = [
        rng.uniform(0, end_s) if number % 2 else rng.choice(plan).at_s - rng.uniform(0, 0.3)
        for number in range(inferences)
    ]
    at.sort()
    print(
        f"seed {seed}: {inferences} inferences of {len(set(labels.values()))} labels, "
        f"{len(plan)} faults in {end_s:.0f} s"
    )
    with ThreadPoolExecutor(CLIENTS) as pool:
        jobs = [pool.submit(client, number, at_s, rng.choice(list(labels))) for number, at_s in enumerate(at)]
        try:
            lasted = faults.inflict(plan, services)
            services.wait_until_ready(*NAMES)
        except CannotRunError:
            posted.stop.set()
            raise
        for job in jobs:
            job.result()
    accepted_s = time.monotonic() - begin
    poll(lambda: unfinished(services.env["DATABASE_URL"]) == 0, FINISH_TIMEOUT_S)
    finished_s = time.monotonic() - begin
    report_faults(lasted)
    report_posts(posted, accepted_s, finished_s)
    services.check()
    return check(url, services, posted, labels, inferences)


def unfinished(database_url: str) -> int:
    return int(
        query(database_url, "SELECT count(*) FROM classification_inference WHERE status IN ('pending', 'processing')")[
            0
        ][0]
    )


def check(url: str, services: Services, posted: Posted, labels: dict[bytes, str], inferences: int) -> dict[str, bool]:
    rows = query(services.env["DATABASE_URL"], ROWS)
    media = Path(services.env["DJANGO_MEDIA_ROOT"])
    statuses = Counter(status for _, status, *_ in rows)
    attempts = [row[4] for row in rows]
    images = {row[0]: fetch_image(url, row[0]) for row in rows}
    orphans = {str(path.relative_to(media)) for path in media.rglob("*") if path.is_file()} - {row[3] for row in rows}
    ids = {row[0] for row in rows}
    print(
        f"\nrows: {dict(statuses)}, attempts: at most {max(attempts)}, more than one in {sum(n > 1 for n in attempts)}"
    )
    print(f"rows of interrupted requests: {len(ids - posted.accepted.keys())}, files: {len(orphans)}")
    bad = [row for row in rows if row[1] != "done" or row[5] != 1 or row[2] != labels.get(images[row[0]])]
    for row in bad[:20]:
        print(f"bad: {row} image of {len(images[row[0]])} bytes")
    return {
        "every inference was accepted": posted.given_up == 0 and len(posted.accepted) == inferences,
        "every answer was 201 or 503": posted.answers.keys()
        <= {"201", "503", "refused", "connection lost", "no answer in time"},
        "every accepted inference has its row": posted.accepted.keys() <= ids,
        "no row is stuck": statuses["pending"] + statuses["processing"] == 0,
        "every row is done": statuses["done"] == len(rows),
        "every row was finished exactly once": all(row[5] == 1 for row in rows),
        "every row has the label of its image": all(row[2] == labels.get(images[row[0]]) for row in rows),
        "every image is the one that was posted": all(
            images[pk] == data for pk, data in posted.accepted.items() if pk in images
        ),
        "no more rows and files than interrupted requests explain": len(ids - posted.accepted.keys()) + len(orphans)
        <= posted.interrupted,
    }


def fetch_image(url: str, inference_id: int) -> bytes:
    """Return the image of a row, from the signed URL that the API gives, or no bytes if either is not found."""
    row = fetch(f"{url}/api/v1/inferences/{inference_id}/")
    return fetch(json.loads(row)["image"]) if row else b""


def fetch(url: str) -> bytes:
    """Fetch over a new connection, so that every web process must answer. Returns no bytes for an error.

    The connection closes at once: a web server process accepts at most 500 idle connections.
    """
    with requests.get(url, timeout=TIMEOUT_S) as response:
        return response.content if response.ok else b""


def report_faults(lasted: list[tuple[faults.Fault, float]]) -> None:
    rows = []
    for kind in faults.KINDS:
        seconds = [each for fault, each in lasted if fault.kind is kind]
        rows.append([f"{kind.service}: {kind.what}", str(len(seconds)), f"{sum(seconds):.1f}", f"{max(seconds):.1f}"])
    rows.append(["all", str(len(lasted)), f"{sum(each for _, each in lasted):.1f}", ""])
    print("\n" + table(["fault", "times", "down s", "longest s"], rows))


def report_posts(posted: Posted, accepted_s: float, finished_s: float) -> None:
    print("\n" + table(["answer to POST v1", "times"], [[name, str(n)] for name, n in sorted(posted.answers.items())]))
    count, latencies = len(posted.accepted), sorted(posted.latencies_s)
    print(
        f"\n{count} accepted in {accepted_s:.1f} s ({count / accepted_s:.1f}/s), all final after {finished_s:.1f} s; "
        f"the 201 came after {statistics.median(latencies) * 1e3:.0f} ms (median), "
        f"{latencies[-count // 100] * 1e3:.0f} ms (99 %), {latencies[-1] * 1e3:.0f} ms (longest)"
    )


def main() -> int:
    if sys.argv[1:2] == ["hostile"]:
        return hostile.main(sys.argv[2:])
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Kills every service at random and checks that nothing is lost.",
        epilog="`hostile` as the first argument posts hostile pictures instead: python -m chaos hostile --help",
    )
    parser.add_argument("--inferences", type=int, default=2000, help="number of inferences to post (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random times (default: 1)")
    parser.add_argument("--short", action="store_true", help="150 inferences, and each kind of fault once")
    options = parser.parse_args()
    inferences, rounds = (150, 1) if options.short else (options.inferences, 4)
    own = {
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "TF_SERVING_URL": "",
        **free_public_ports(),
        "API_ANON_RATE": "1000000/s",
        "API_ANON_READ_RATE": "1000000/s",
        "INFERENCE_LEASE_S": str(faults.LEASE_S),
        "INFERENCE_SWEEP_S": str(faults.SWEEP_S),
        "TF_SERVING_TIMEOUT_S": "2",  # well below the lease
        # A fault costs a row at most one attempt when it strikes, and one for each second until it is healed (the
        # backoff is never shorter). This limit is more than all faults together can use up.
        "INFERENCE_MAX_ATTEMPTS": "1000",
    }
    if not list((ROOT / "models" / MODEL).glob("*/model.onnx")):
        subprocess.run([sys.executable, "-m", "moon_vision_challenge.model_zoo", MODEL], cwd=ROOT, check=True)
    with running(["postgres", "redis"], run_dir=RUN_DIR / "chaos", env=own) as services:
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=services.env, check=True)
        query(services.env["DATABASE_URL"], f"TRUNCATE classification_inference CASCADE; {COUNT_FINISHES}")
        for path in Path(services.env["DJANGO_MEDIA_ROOT"]).rglob("*.*"):
            path.unlink()
        with Redis.from_url(services.env["REDIS_URL"], socket_timeout=TIMEOUT_S) as client:
            client.flushall()
        for name in NAMES[2:]:
            services.start(name)
        services.wait_until_ready(*NAMES)
        try:
            checks = run(services, inferences=inferences, seed=options.seed, rounds=rounds)
        except CannotRunError as error:
            print(error)
            checks = {"every service ended only by a fault, and came back": False}
    return report(checks)


if __name__ == "__main__":
    sys.exit(main())
