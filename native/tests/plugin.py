"""Tests run on real PostgreSQL, Redis and the real model server. They start before Django reads its settings."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from native.environment import ROOT
from native.readiness import MODEL
from native.services import Services, running

SERVICES = pytest.StashKey[Services]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    subprocess.run([sys.executable, "-m", "moon_vision_challenge.model_zoo", MODEL], cwd=ROOT, check=True)
    stack = ExitStack()
    early_config.add_cleanup(stack.close)
    # A `make run` in the same checkout may hold the usual ports. Nothing of a test needs to outlive a power cut.
    environment = {"WEB_PORT": _free_port(), "FLOWER_PORT": _free_port(), "POSTGRES_OPTIONS": "-c fsync=off"}
    names = ["postgres", "redis", "model_server"]
    services = stack.enter_context(running(names, run_dir=ROOT / ".run" / "test", env=environment))
    early_config.stash[SERVICES] = services
    os.environ.update({name: services.env[name] for name in ("DATABASE_URL", "REDIS_URL", "TF_SERVING_URL")})
    return (yield)


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> Services:
    """The running services; a test may start more of the Procfile's on it."""
    return pytestconfig.stash[SERVICES]


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
