"""What the compose files promise, read without an engine; compose/tests/ asks the running services."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from moon_vision_challenge import __version__

APP = {"django", "celeryworker", "webhookworker", "celerybeat", "flower"}
SERVICES = APP | {"tensorflow-serving", "postgres", "redis"}
FILES = {"local.yml": SERVICES, "production.yml": SERVICES | {"traefik"}}


def services(file: str) -> dict[str, dict[str, Any]]:
    listed = yaml.safe_load((settings.ROOT_DIR / file).read_text())["services"]
    return {name: service for name, service in listed.items() if service.get("profiles") != ["tools"]}


@pytest.mark.parametrize("file", FILES)
def test_all_services_are_there_and_say_whether_they_are_healthy(file: str) -> None:
    assert {name for name, service in services(file).items() if "healthcheck" in service} == FILES[file]


@pytest.mark.parametrize("file", FILES)
def test_web_and_workers_share_the_uploads_and_know_the_models(file: str) -> None:
    found = services(file)
    for name in APP:
        assert set(found[name]["volumes"]) == {"media:/media", "./models:/models:ro"}


def test_local_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in services("local.yml").values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_make_gives_the_version_to_every_image() -> None:
    """Compose passes it to the build; each Dockerfile makes a label of it."""
    builds = {
        service["build"]["dockerfile"]: service["build"]["args"]["APP_VERSION"]
        for file in FILES
        for service in yaml.safe_load((settings.ROOT_DIR / file).read_text())["services"].values()
        if "build" in service
    }
    dockerfiles = {
        str(path.relative_to(settings.ROOT_DIR)): path for path in settings.ROOT_DIR.glob("compose/**/Dockerfile")
    }
    assert builds == dict.fromkeys(dockerfiles, "${APP_VERSION:-unknown}")
    for path in dockerfiles.values():
        assert re.search(
            r"^ARG APP_VERSION\nLABEL .*org\.opencontainers\.image\.version=\$APP_VERSION", path.read_text(), re.M
        ), path
    printed = subprocess.run(
        ["make", "--no-print-directory", "--eval", "version: ; @printenv APP_VERSION", "version"],
        cwd=settings.ROOT_DIR,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert printed.stdout.strip() == __version__


@pytest.mark.parametrize("name", sorted(FILES["production.yml"]))
def test_production_is_hardened(name: str) -> None:
    service = services("production.yml")[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert ("ports" in service) == (name == "traefik")


@pytest.mark.parametrize("package", ["model_server", "model_zoo"])
def test_an_image_holds_all_modules_that_its_program_imports(package: str, tmp_path: Path) -> None:
    dockerfile = settings.ROOT_DIR / "compose" / package / "Dockerfile"
    for line in re.findall(r"^COPY (moon_vision_challenge/.*)$", dockerfile.read_text(), re.M):
        *sources, target = line.split()
        for source in map(settings.ROOT_DIR.joinpath, sources):
            if source.is_dir():
                shutil.copytree(source, tmp_path / target, ignore=shutil.ignore_patterns("tests", "__pycache__"))
            else:
                (tmp_path / target).mkdir(exist_ok=True)
                shutil.copy(source, tmp_path / target)
    need_tensorflow = {"tensorflow_runtime", "saved_models", "tensorflow_models", "onnx_to_tensorflow"}
    modules = [
        ".".join(path.relative_to(tmp_path).with_suffix("").parts)
        for path in sorted(tmp_path.rglob("*.py"))
        if path.stem not in need_tensorflow
    ]
    script = f"import importlib; [importlib.import_module(name) for name in {modules}]"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=120)
