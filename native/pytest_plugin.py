"""Starts a real PostgreSQL, Redis, and model server for the tests.

pytest.ini names this plugin, because the servers must run before Django reads its settings, and a conftest.py is read
after that. Each pytest-xdist worker starts its own servers, so that a test may stop one of them.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from . import environment
from .environment import FREE_PORTS, REPLACED_BY, ROOT, free_public_ports
from .readiness import MODEL
from .services import Services, running

SERVICES = pytest.StashKey[Services]()
SINGLE = "single"
LONGEST_NAME = 40


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    # A script's background job ignores Ctrl-C, and so would every process that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker:
        subprocess.run([sys.executable, "-m", "moon_vision_challenge.model_zoo", MODEL], cwd=ROOT, check=True)
    is_controller = bool(getattr(early_config.known_args_namespace, "numprocesses", None)) and not worker
    if not is_controller:
        early_config.stash[SERVICES] = _start(early_config, worker or SINGLE)
        return (yield)
    given = dict(os.environ)
    try:
        return (yield)
    finally:
        # The workers inherit the environment. What the settings have added would look like the user's own servers.
        for name in os.environ.keys() - given.keys():
            if name in REPLACED_BY.values():
                del os.environ[name]


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Do not use long bytes as a name. They are hard to read, and those that hold the time differ among the workers."""
    return argname if isinstance(val, bytes) and len(val) > LONGEST_NAME else None


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> Services:
    """Return the running services. A test may start more services of the Procfile on it."""
    return pytestconfig.stash[SERVICES]


def _start(config: pytest.Config, name: str) -> Services:
    stack = ExitStack()
    config.add_cleanup(stack.close)
    if name != SINGLE:  # two workers must not choose the same port for servers that they start at the same time
        share = FREE_PORTS[int(name.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]
        environment.port_candidates = environment.shuffled(share)
    # A `make run` in the same checkout may hold the usual ports. No test data needs to survive a power failure.
    settings = free_public_ports() | {"POSTGRES_OPTIONS": "-c fsync=off"}
    names = ["postgres", "redis", "model_server"]
    services = stack.enter_context(running(names, run_dir=ROOT / ".run" / "test" / name, env=settings))
    os.environ.update({name: services.env[name] for name in ("DATABASE_URL", "REDIS_URL", "TF_SERVING_URL")})
    return services
