"""The services under measurement, as `make run` starts them, with separate data in .run/bench."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from native.environment import ROOT, RUN_DIR, free_port
from native.process import poll
from native.services import Services, running

from . import load

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
BENCH_DIR = RUN_DIR / "bench"


@contextmanager
def service(*names: str, env: Mapping[str, str] | None = None, run_dir: Path = BENCH_DIR) -> Iterator[Services]:
    """Start PostgreSQL (migrated), Redis, and the named services. Ignores servers that the user's environment names."""
    own = {
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "TF_SERVING_URL": "",
        "WEB_PORT": str(free_port()),
        "API_ANON_RATE": "1000000/s",  # high enough to refuse nothing, but requests are still counted
        "API_ANON_READ_RATE": "1000000/s",
        **(env or {}),
    }
    with running(["postgres", "redis"], run_dir=run_dir, env=own) as services:
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=services.env, check=True)
        for name in names:
            services.start(name)
        services.wait_until_ready(*names)
        yield services


@contextmanager
def process(*command: str, ready: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """Start a process that is not in the Procfile. Yields its id once GET `ready` is answered."""
    started = subprocess.Popen(command, cwd=cwd, env=os.environ | dict(env or {}), stdout=subprocess.DEVNULL)
    try:
        if not poll(lambda: started.poll() is not None or load.answers(ready), START_TIMEOUT_S):
            raise RuntimeError(f"{command[0]} does not answer at {ready}")
        if started.poll() is not None:
            raise RuntimeError(f"{' '.join(command)} ended with exit code {started.returncode}")
        yield started.pid
    finally:
        family = load.tree(started.pid) if started.poll() is None else []
        started.terminate()
        _, left = psutil.wait_procs(family, timeout=STOP_TIMEOUT_S)
        for each in left:  # LitServe's workers outlive their server
            each.kill()
        started.wait(timeout=STOP_TIMEOUT_S)


@contextmanager
def null_model_server() -> Iterator[str]:
    """Yield the URL of a model server that answers immediately."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ("-m", "granian", "--interface", "rsgi", "--no-ws", "--log-level", "error", "--port", str(port))
    with process(sys.executable, *command, "bench.null_model_server:application", ready=f"{url}/v1/models/any"):
        yield url


def photo_request(url: str, path: str, image: bytes) -> bytes:
    """Return a POST of the photo to the API at `url`."""
    fields = {"model_type": "efficientnet_lite0"}
    return load.multipart(path, urlsplit(url).netloc, {"image": image}, fields)
