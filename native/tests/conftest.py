"""Runs PostgreSQL, Redis, and small commands of a separate Procfile, without Django."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from native import postgres

PROCFILE = Path(__file__).parent / "Procfile"
LIMIT_S = 600  # allows for a loaded machine: only a test that fails reaches it
NO_FSYNC = {"POSTGRES_OPTIONS": "-c fsync=off"}  # no test data needs to survive a power failure
# A user's own servers and ports must not leak into these tests.
VARIABLES = (
    "DATABASE_URL",
    "REDIS_URL",
    "TF_SERVING_URL",
    "POSTGRES_PORT",
    "REDIS_PORT",
    "MODEL_SERVER_PORT",
    "RUN_DIR",
    "WEB_HOST",
    "DJANGO_ALLOWED_HOSTS",
    "DJANGO_EXTRA_APPS",
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    """Yield a run directory. For root, PostgreSQL keeps its part elsewhere, which is removed too."""
    path = tmp_path / "run of [Größe] & 'co'"
    yield path
    if os.geteuid() == 0:
        shutil.rmtree(postgres.folder(path), ignore_errors=True)
