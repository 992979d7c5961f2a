"""Compares this service with FastAPI, LitServe, and BentoML on the same job, in the same run."""

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from native.environment import ROOT, RUN_DIR, free_port
from native.services import Services

from . import load, model_server, running_services
from .photo import photo
from .table import median_ratio, table

PEERS = ROOT / "bench" / "peers"
VENV = RUN_DIR / "peers-venv"
MODEL = ROOT / "models" / "efficientnet_lite0"


@dataclass(frozen=True)
class Contestant:
    """A measured service: the URL that accepts photos, and the processes that do the work."""

    url: str
    request: bytes
    processes: dict[str, int]


def measure(*, rounds: int = 5, seconds: float = 5, clients: int = 8) -> None:
    """Print a table for the null model and one for lite0. Creates the peers' environment on first use."""
    _make_venv()
    for model, title in (("null", "null model"), ("lite0", "efficientnet_lite0")):
        results: dict[str, list[load.Load]] = {}
        memory: dict[str, float] = {}
        with _contestants(null=model == "null") as contestants:
            for number in range(rounds + 1):  # they take turns, and the first turn fills caches and pools
                for name, each in contestants.items():
                    done = load.post(
                        each.url,
                        each.request,
                        clients=clients,
                        seconds=seconds if number else 2,
                        services=each.processes,
                        check=load.is_label,
                    )
                    if number:
                        results.setdefault(name, []).append(done)
            for name, each in contestants.items():
                memory[name] = sum(load.memory_mb(pid) for pid in each.processes.values())
        print(f"\n{title}, {clients} clients, {rounds} rounds of {seconds:g} s in turns, medians")
        print(_table(results, memory))


def _table(results: dict[str, list[load.Load]], memory: dict[str, float]) -> str:
    rows = []
    medians = {
        name: [
            statistics.median(each.rate for each in loads),
            statistics.median(sum(each.cpu_ms.values()) for each in loads),
            statistics.median(each.p50_ms for each in loads),
            statistics.median(each.p95_ms for each in loads),
            statistics.median(each.p99_ms for each in loads),
        ]
        for name, loads in results.items()
    }
    for name, (rate, cpu_ms, p50_ms, p95_ms, p99_ms) in medians.items():
        ratio = median_ratio([each.rate for each in results["ours"]], [each.rate for each in results[name]])
        parts = " + ".join(
            f"{statistics.median(each.cpu_ms[service] for each in results[name]):.1f}"
            for service in results[name][0].cpu_ms
        )
        rows.append(
            [
                name,
                f"{rate:.0f}",
                f"{cpu_ms:.1f}",
                parts,
                f"{p50_ms:.0f}",
                f"{p95_ms:.0f}",
                f"{p99_ms:.0f}",
                f"{memory[name]:.0f}",
                f"{ratio:.2f}",
            ]
        )
    head = [
        "",
        "requests/s",
        "CPU ms",
        "of which web + model server",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "memory MB",
        "our requests/s to theirs",
    ]
    return table(head, rows)


@contextmanager
def _contestants(*, null: bool) -> Iterator[dict[str, Contestant]]:
    image = photo()
    with ExitStack() as stack:
        env = {"TF_SERVING_URL": stack.enter_context(running_services.null_model_server()) + "/v2"} if null else {}
        own = stack.enter_context(running_services.service(*([] if null else ["model_server"]), "web", env=env))
        found = {"ours": _ours(own, image, null=null)}
        if not null:
            found["ours, OpenVINO"] = stack.enter_context(_ours_with_openvino(own, image))
        for kind, env in VARIANTS.items():
            if null and "OPENVINO" in env:
                continue
            for name, (command, ready) in SERVERS.items():
                port = free_port()
                url = f"http://127.0.0.1:{port}/predict"
                own_env = {"NULL_MODEL": str(int(null)), "BENTOML_DO_NOT_TRACK": "1", **env}
                ready_url = f"http://127.0.0.1:{port}/{ready}"
                pid = stack.enter_context(
                    running_services.process(*command(port), ready=ready_url, cwd=PEERS, env=own_env)
                )
                request = load.multipart("/predict", urlsplit(url).netloc, {"image": image}, {})
                found[f"{name}, {kind}"] = Contestant(url, request, {"service": pid})
        yield found


def _ours(own: Services, image: bytes, *, null: bool) -> Contestant:
    url = f"http://127.0.0.1:{own.env['WEB_PORT']}"
    names = ["web"] if null else ["web", "model_server"]
    request = running_services.photo_request(url, "/api/v0/inferences/", image)
    return Contestant(url, request, {name: own.pid(name) for name in names})


@contextmanager
def _ours_with_openvino(own: Services, image: bytes) -> Iterator[Contestant]:
    """Start a second web server and model server beside those that are measured with onnxruntime."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = (sys.executable, "-m", "config.web_server", "--port", str(port))
    with model_server.started(MODEL.parent, "--runtime=openvino") as (model_url, model_pid):
        env = {**own.env, "TF_SERVING_URL": model_url.partition("/v1/")[0]}
        with running_services.process(*command, ready=f"{url}/livez", env=env) as pid:
            request = running_services.photo_request(url, "/api/v0/inferences/", image)
            yield Contestant(url, request, {"web": pid, "model_server": model_pid})


def _fastapi(port: int) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    return [
        str(VENV / "bin" / "python"),
        "-m",
        "uvicorn",
        "--no-access-log",
        "--log-level",
        "warning",
        "fastapi_server:application",
        *where,
    ]


def _litserve(port: int) -> list[str]:
    return [str(VENV / "bin" / "python"), "litserve_server.py", str(port)]


def _bentoml(port: int) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(port)]
    return [str(VENV / "bin" / "python"), "-m", "bentoml", "serve", "bentoml_service:Classify", *where]


SERVERS = {"FastAPI": (_fastapi, "ready"), "LitServe": (_litserve, "health"), "BentoML": (_bentoml, "readyz")}
VARIANTS = {
    "Pillow": {"PILLOW": "1"},
    "Pillow, OpenVINO": {"PILLOW": "1", "OPENVINO": "1"},
    "our resizer": {"PILLOW": "0"},
}


def _make_venv() -> None:
    uv = [sys.executable, "-m", "uv"]
    if not VENV.exists():
        subprocess.run([*uv, "venv", "--quiet", str(VENV)], check=True)
    install = ["pip", "install", "--quiet", "--require-hashes", "-r", str(PEERS / "requirements.txt")]
    subprocess.run([*uv, *install, "--python", str(VENV)], check=True)  # takes 0.1 s if there is nothing to do
    if not MODEL.exists():
        subprocess.run(
            [sys.executable, "-m", "moon_vision_challenge.model_zoo", "efficientnet_lite0"], cwd=ROOT, check=True
        )
