"""The compose files beside local.yml and production.yml, and how the production scripts choose among them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from django.conf import settings

ROOT: Path = settings.ROOT_DIR
MAINTENANCE = Path("compose/production/maintenance")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / MAINTENANCE, tmp_path / MAINTENANCE)
    return tmp_path


def chosen(checkout: Path, **environment: str) -> str:
    script = f'. {checkout / MAINTENANCE / "environment"}; printf "%s %s" "$COMPOSE_FILE" "$PWD"'
    found = subprocess.run(
        ["bash", "-euc", script],
        env={"PATH": os.environ["PATH"], **environment},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    files, _, folder = found.stdout.partition(" ")
    assert Path(folder) == checkout
    return files


def test_scripts_use_production_unless_told_otherwise(checkout: Path) -> None:
    assert chosen(checkout) == "production.yml"
    (checkout / ".env").write_text("WEB_REPLICAS=2\n")
    assert chosen(checkout) == "production.yml"


def test_scripts_use_the_files_of_env(checkout: Path) -> None:
    (checkout / ".env").write_text("WEB_REPLICAS=2\nCOMPOSE_FILE=production.yml:deploy/gpu.yml\nRELEASE=1\n")
    assert chosen(checkout) == "production.yml:deploy/gpu.yml"
    assert chosen(checkout, COMPOSE_FILE="local.yml") == "local.yml"


def test_backups_of_local_and_production_have_separate_folders(checkout: Path) -> None:
    for file in ("production.yml:deploy/gpu.yml", "local.yml"):
        (checkout / "backups" / Path(file.partition(":")[0]).stem / f"of-{len(file)}").mkdir(parents=True)
        listed = subprocess.run(
            [checkout / MAINTENANCE / "backups"],
            env={"PATH": os.environ["PATH"], "COMPOSE_FILE": file},
            check=True,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert listed.stdout.splitlines()[0].endswith(f"of-{len(file)}/")
        assert len(listed.stdout.splitlines()) == 1


@pytest.mark.parametrize("name", ["gpu", "triton", "ipv6"])
def test_an_override_changes_what_production_has(name: str) -> None:
    production = yaml.safe_load((ROOT / "production.yml").read_text())
    override = yaml.safe_load((ROOT / "deploy" / f"{name}.yml").read_text())
    assert override.keys() <= production.keys()
    for kind, changed in override.items():
        assert changed.keys() <= production[kind].keys()


@pytest.mark.parametrize(
    ("image", "needs_saved_models"),
    [
        ("tensorflow/serving:2.19.1", True),
        ("mirror.example.com:5000/hub/tensorflow/serving:2.19.1-gpu", True),
        ("mirror.example.com/tf-serving@sha256:" + "0" * 64, True),
        ("moon_vision_challenge/model_server", False),
        ("registry.example.com/moon_vision_challenge/model_server:0.1.0", False),
    ],
)
def test_the_model_server_is_recognized_by_any_name(image: str, needs_saved_models: bool, tmp_path: Path) -> None:
    """A mirror changes the name of the TensorFlow Serving image."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    python.chmod(0o755)
    script = (ROOT / "compose" / "model_zoo" / "get_tf_models").read_text().partition("\nawk ")[0]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "TF_SERVING_IMAGE": image, "MODEL_DATA_URL": ""}
    subprocess.run(["bash", "-c", script], env=environment, check=True, timeout=300)
    assert ("saved_models" in (tmp_path / "called").read_text()) == needs_saved_models


@pytest.mark.parametrize("limit", ["268435456", "1073741824", "max"])
def test_postgresql_is_sized_from_the_memory_of_its_container(limit: str, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(limit)
    entrypoint = tmp_path / "docker-entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\necho "$@"\n')
    entrypoint.chmod(0o755)
    script = (ROOT / "compose" / "production" / "postgres" / "start").read_text()
    started = subprocess.run(
        ["bash", "-c", script.replace("/sys/fs/cgroup", str(tmp_path))],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    ).stdout
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if limit == "max" else int(limit)
    options = dict(word.split("=") for word in started.split() if "=" in word)
    shared = int(options["shared_buffers"].removesuffix("MB"))
    assert shared == pytest.approx(memory / 4 / 2**20, abs=1)
    assert int(options["effective_cache_size"].removesuffix("MB")) == pytest.approx(2 * shared, abs=1)
