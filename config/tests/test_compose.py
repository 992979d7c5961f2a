"""What the compose files promise, checked without a container engine. compose/tests/ checks the running services."""

import os
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

APP = {"django", "celeryworker", "webhookworker", "celerybeat", "flower", "metrics"}
HOLDERS_OF_UPLOADS = {"django", "celeryworker", "webhookworker", "metrics"}
MONITORING = {"prometheus", "grafana"}
SERVICES = APP | MONITORING | {"tensorflow-serving", "postgres", "redis"}
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
    for name in HOLDERS_OF_UPLOADS:
        assert set(found[name]["volumes"]) == {"media:/media", "metrics:/metrics", "./models:/models:ro"}


def test_local_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in services("local.yml").values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_make_gives_the_version_to_every_image() -> None:
    """Compose passes it to the build, and each Dockerfile makes it a label. Traefik's image does not depend on it."""
    builds = {
        service["build"]["dockerfile"]: service["build"]["args"]["APP_VERSION"]
        for file in FILES
        for service in yaml.safe_load((settings.ROOT_DIR / file).read_text())["services"].values()
        if "build" in service and service["image"] != "moon_vision_challenge/traefik"
    }
    dockerfiles = {
        str(path.relative_to(settings.ROOT_DIR)): path for path in settings.ROOT_DIR.glob("compose/*/Dockerfile")
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
        timeout=600,
    )
    assert printed.stdout.strip() == __version__


@pytest.mark.parametrize("name", sorted(FILES["production.yml"]))
def test_production_is_hardened(name: str) -> None:
    service = services("production.yml")[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["pids_limit"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    public = [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")]
    assert bool(public) == (name == "traefik")


ENVS = settings.ROOT_DIR / ".envs" / ".production"
SECRET = re.compile(r"@([A-Z_]+_(?:PASSWORD|KEY|SECRET))@")
# The secrets that each service may hold.
SECRETS_OF = {
    "django": {"DJANGO_SECRET_KEY", "APP_PASSWORD", "CACHE_PASSWORD", "BROKER_PASSWORD", "WEBHOOK_SECRET"},
    "migrations": {"MIGRATIONS_SECRET_KEY", "MIGRATIONS_PASSWORD"},
    "celerybeat": {"BEAT_SECRET_KEY", "BEAT_PASSWORD"},
    "flower": {"FLOWER_SECRET_KEY", "FLOWER_REDIS_PASSWORD", "FLOWER_PASSWORD"},
    "metrics": {"METRICS_SECRET_KEY", "METRICS_DATABASE_PASSWORD", "METRICS_REDIS_PASSWORD"},
    "grafana": {"GRAFANA_PASSWORD"},
    "traefik": set(),
}


@pytest.mark.parametrize("name", SECRETS_OF)
def test_a_service_holds_only_the_secrets_that_it_needs(name: str) -> None:
    assert set(SECRET.findall((ENVS / f".{name}.template").read_text())) == SECRETS_OF[name]


def test_each_service_reads_only_its_own_secrets() -> None:
    files = {
        name: service["env_file"]
        for name, service in yaml.safe_load((settings.ROOT_DIR / "production.yml").read_text())["services"].items()
        if "env_file" in service
    }
    assert files.pop("metrics") == [".envs/.production/.django", ".envs/.production/.metrics"]
    assert {name: file.rpartition("/.")[2] for name, file in files.items()} == {
        "traefik": "traefik",
        "postgres": "postgres",
        "redis": "redis",
        "migrate": "migrations",
        "celerybeat": "celerybeat",
        "flower": "flower",
        "grafana": "grafana",
        **dict.fromkeys(HOLDERS_OF_UPLOADS - {"metrics"}, "django"),
    }


def test_the_exporter_replaces_every_secret_of_web() -> None:
    """It reads the file of web, and then its own. The later value wins."""
    lines = (ENVS / ".django.template").read_text().splitlines()
    with_secrets = {line.partition("=")[0] for line in lines if SECRET.search(line) or "@WEBHOOK_SECRET@" in line}
    with_secrets.add("DJANGO_SECRET_KEY_FALLBACKS")
    assert with_secrets <= variables(".metrics.template")


def test_no_secret_is_on_a_command_line() -> None:
    for service in services("production.yml").values():
        assert "PASSWORD" not in str(service.get("command"))
        assert "PASSWORD" not in str(service["healthcheck"]["test"])


def documented() -> dict[str, str]:
    """Return the default of each variable in docs/settings.md."""
    text = (settings.ROOT_DIR / "docs" / "settings.md").read_text()
    return {
        name: line.split("|")[2].strip()
        for line in text.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", line.split("|")[1])
    }


def variables(template: str) -> set[str]:
    """Return the variables that a template sets, or shows in a comment."""
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ENVS / template).read_text(), re.M))


@pytest.mark.parametrize("template", [f".{name}.template" for name in SECRETS_OF])
def test_a_template_holds_only_variables_that_are_documented(template: str) -> None:
    unknown = {name for name in variables(template) if not name.startswith(("AWS_", "TRAEFIK_", "GF_"))} - set(
        documented()
    )
    assert not unknown


def test_the_template_of_django_names_all_that_production_needs() -> None:
    required = {name for name, default in documented().items() if default == "required"}
    secrets = {name for name in documented() if re.search("SECRET|REDIS_URL|BROKER_URL", name)}
    about_production = {name for name in documented() if name.startswith("DJANGO_MEDIA_S3_")} & required
    assert (required | secrets | about_production) - {"DJANGO_MEDIA_S3_BUCKET"} <= variables(".django.template")


def test_make_env_fills_in_every_secret(tmp_path: Path) -> None:
    shutil.copytree(
        ENVS, tmp_path / ".envs" / ".production", ignore=lambda _, names: {n for n in names if "." not in n[1:]}
    )
    maintenance = Path("compose/production/maintenance")
    (tmp_path / maintenance).mkdir(parents=True)
    shutil.copy(settings.ROOT_DIR / maintenance / "make_env", tmp_path / maintenance)
    command = [str(tmp_path / maintenance / "make_env")]
    environment = {"PATH": os.environ["PATH"], "DOMAIN": "vision.example.com", "EMAIL": "you@example.com"}
    subprocess.run(command, env=environment, check=True, timeout=600, capture_output=True)
    written = {
        path.name: path for path in (tmp_path / ".envs" / ".production").iterdir() if "template" not in path.name
    }
    assert set(written) == {path.name.removesuffix(".template") for path in ENVS.glob(".*.template")}
    values = "\n".join(path.read_text() for path in written.values())
    assert not re.search(r"@[A-Z_]+@", values)
    assert all(path.stat().st_mode & 0o077 == 0 for path in written.values())
    keys = re.findall(r"^DJANGO_SECRET_KEY=(.*)$", values, re.M)
    assert len(set(keys)) == len(keys) == 5
    assert subprocess.run(command, env=environment, check=False, timeout=600, capture_output=True).returncode == 1


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
