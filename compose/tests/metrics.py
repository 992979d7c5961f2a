#!/usr/bin/env python3
"""Compares the metrics with what it sends, kills web, workers and exporter, and compares again. Needs Docker.

metrics.py FILE BASE_URL     FILE: the compose file of the running services

Nothing else may post inferences meanwhile. Exits 1 unless every count is exact.
"""

import argparse
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import smoke

IMMEDIATE, QUEUED, REFUSED = 60, 40, 10
KILLED = ["django", "celeryworker", "webhookworker", "metrics"]
TIMEOUT_S = 300
READ = "import sys, urllib.request as r; sys.stdout.buffer.write(r.urlopen(sys.argv[1], timeout=30).read())"
EXPORTER, MODEL_SERVER = "http://127.0.0.1:9000/metrics", "http://tensorflow-serving:8501/monitoring/prometheus/metrics"
REQUESTS = 'moon_vision_request_seconds_count{method="POST",route="/api/%s/inferences/",status="%d"}'
UPLOADS = "uploads to v0"
COUNTS = {
    "v0 answers": REQUESTS % ("v0", 200),
    "v0 refusals": REQUESTS % ("v0", 400),
    "v1 answers": REQUESTS % ("v1", 201),
    "inferences that are done": f'moon_vision_inferences_total{{model_type="{smoke.MODEL_TYPE}",status="done"}}',
    "images in predictions": f'moon_vision_batch_size_sum{{model_type="{smoke.MODEL_TYPE}"}}',
    UPLOADS: 'moon_vision_upload_bytes_count{route="/api/v0/inferences/"}',
}
SENT = dict(zip(COUNTS, (IMMEDIATE, REFUSED, QUEUED, QUEUED, IMMEDIATE + QUEUED, IMMEDIATE + REFUSED), strict=True))


class Services:
    def __init__(self, file: str) -> None:
        self._compose = ["docker", "compose", "--file", file]

    def page(self, url: str) -> str:
        return self._run(*self._compose, "exec", "-T", "metrics", "python", "-c", READ, url)

    def counts(self) -> dict[str, int]:
        page = self.page(EXPORTER)
        found = {
            name: re.search(rf"^{re.escape(sample)} (\S+)$", page, re.MULTILINE) for name, sample in COUNTS.items()
        }
        return {name: int(float(match[1])) if match else 0 for name, match in found.items()}

    def files(self) -> int:
        listed = self._run(*self._compose, "exec", "-T", "metrics", "ls", "/metrics")
        return len(listed.splitlines())

    def kill(self, service: str) -> None:
        """Kill a service and start it again. Returns when it is healthy."""
        for container in self._run(*self._compose, "ps", "--quiet", service).split():
            self._run("docker", "kill", container)
            self._run("docker", "start", container)
            wait_until(f"{service} is healthy", partial(self._is_healthy, container))

    def _is_healthy(self, container: str) -> bool:
        return self._run("docker", "inspect", "--format", "{{.State.Health.Status}}", container).strip() == "healthy"

    def _run(self, *command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S).stdout


def wait_until(condition: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"FAILED {condition}: not within {TIMEOUT_S} s")
        time.sleep(0.5)  # between two checks


def send(base_url: str) -> dict[str, int]:
    """Send requests. Returns what must be counted. One above the rate limit is sent again, and each upload counts."""
    smoke.throttled.clear()
    v0, v1 = (f"{base_url.rstrip('/')}/api/{version}/inferences/" for version in ("v0", "v1"))
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda _: smoke.post_photo(v1), range(QUEUED)))
        answers = list(pool.map(lambda _: smoke.post_photo(v0)[0], range(IMMEDIATE)))
        refusals = list(pool.map(lambda _: smoke.post_photo(v0, photo=b"no image")[0], range(REFUSED)))
    smoke.expect("v0 answers", set(answers), {200})
    smoke.expect("v0 refuses what is not an image", set(refusals), {400})
    smoke.wait_for(v1, [row["id"] for _, row in rows])
    return SENT | {UPLOADS: SENT[UPLOADS] + smoke.throttled.count(v0)}


def compare(services: Services, before: dict[str, int], sent: dict[str, int], title: str) -> None:
    """Compare the counts. A process counts after it has answered, so wait, and then check that it was not too much."""
    wanted = {name: before[name] + count for name, count in sent.items()}
    wait_until(title, lambda: all(count >= wanted[name] for name, count in services.counts().items()))
    found = services.counts()
    for name, count in wanted.items():
        print(f"{title}: {name}: sent {sent[name]}, counted {found[name] - before[name]}")
        smoke.expect(name, found[name], count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("base_url")
    arguments = parser.parse_args()
    services = Services(str(arguments.file))
    before = services.counts()
    compare(services, before, send(arguments.base_url), "several processes")
    total, files = services.counts(), services.files()
    for service in KILLED:
        services.kill(service)
        smoke.expect(f"the counts after {service} was killed", services.counts(), total)
    compare(services, total, send(arguments.base_url), "after they were killed")
    if services.files() > files + 2:  # the sums of the ended processes
        raise SystemExit(f"FAILED METRICS_DIR grows: from {files} to {services.files()} files")
    served = re.findall(
        r"^:tensorflow:serving:request_count\{.*status=\"OK\"\} (\d+)", services.page(MODEL_SERVER), re.MULTILINE
    )
    print(f"the model server has counted {sum(map(int, served))} requests at its own path")
    if not served:
        raise SystemExit("FAILED the model server has no metrics")
    print("every count is exact")


if __name__ == "__main__":
    main()
