"""Measures the cost of a request to v0, by stage."""

import json
import statistics
import subprocess
import sys

from native.environment import ROOT

from . import load, running_services
from .photo import photo
from .table import table

PATH = "/api/v0/inferences/"


def measure(*, rounds: int = 5, seconds: float = 5, clients: int = 8) -> dict[str, float]:
    """Measure v0 with a null model server. Prints tables, and returns their figures in ms and requests per second."""
    with (
        running_services.null_model_server() as model_url,
        running_services.service("web", env={"TF_SERVING_URL": f"{model_url}/v2"}) as own,
    ):
        url = f"http://127.0.0.1:{own.env['WEB_PORT']}"
        request = running_services.photo_request(url, PATH, photo())
        web = {"web": own.pid("web")}

        def run(clients: int, seconds: float) -> load.Load:
            return load.post(url, request, clients=clients, seconds=seconds, services=web, check=load.is_label)

        run(clients, min(seconds, 2))  # for imports, pools, and caches
        alone, together, split = [], [], []
        for _ in range(rounds):
            alone.append(run(1, seconds))
            together.append(run(clients, seconds))
            split.append(_stages(own.env))
    stages = {name: statistics.median(part[name] for part in split) for name in split[0]}
    figures = {
        "rate": statistics.median(each.rate for each in together),
        "p50_ms": statistics.median(each.p50_ms for each in together),
        "p95_ms": statistics.median(each.p95_ms for each in together),
        "cpu_ms": statistics.median(each.cpu_ms["web"] for each in together),
        "cpu_ms_one_client": statistics.median(each.cpu_ms["web"] for each in alone),
        **split_of(stages, statistics.median(each.cpu_ms["web"] for each in together)),
    }
    print(f"\nv0, null model server, {clients} clients, {rounds} rounds of {seconds:g} s, medians")
    print(table(["", "requests/s", "p50 ms", "p95 ms", "CPU ms per request"], _rows(figures, clients)))
    print("\nCPU ms of a request by stage")
    names = list(STAGES)
    print(table(["stage", "CPU ms"], [[name, f"{figures[name]:.2f}"] for name in names]))
    return figures


STAGES = (
    "HTTP and WSGI server",
    "Django and DRF",
    "multipart parser",
    "throttle",
    "decode JPEG",
    "crop and resize",
    "base64, JSON, HTTP to the model server",
    "parse the reply",
    "find the label",
)


def split_of(stages: dict[str, float], cpu_ms: float) -> dict[str, float]:
    """Return the parts of `cpu_ms`: the measured stages, and the rest of the two totals that include them."""
    clocked = {name: stages[name] for name in STAGES if name in stages}
    return {
        "HTTP and WSGI server": cpu_ms - stages["whole"],
        "Django and DRF": stages["whole"] - sum(clocked.values()),
        **clocked,
    }


def _rows(figures: dict[str, float], clients: int) -> list[list[str]]:
    return [
        [
            f"{clients} clients",
            f"{figures['rate']:.0f}",
            f"{figures['p50_ms']:.1f}",
            f"{figures['p95_ms']:.1f}",
            f"{figures['cpu_ms']:.2f}",
        ],
        ["1 client", "", "", "", f"{figures['cpu_ms_one_client']:.2f}"],
    ]


def _stages(env: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.stages"], cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    stages: dict[str, float] = json.loads(done.stdout)
    return stages
