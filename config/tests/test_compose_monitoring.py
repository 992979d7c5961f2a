"""The `monitoring` profile of the compose files: what Prometheus scrapes exists, and Grafana has its dashboard."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

FOLDER = settings.ROOT_DIR / "deploy" / "monitoring"
FILES = ["local.yml", "production.yml"]
IMAGE = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?")


def services(file: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((settings.ROOT_DIR / file).read_text())["services"]
    return found


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Map each path in the container to a path in the checkout, or to the name of a volume."""
    parts = [volume.split(":") for volume in service["volumes"]]
    return {target: source for source, target, *_ in parts}


@pytest.mark.parametrize("file", FILES)
def test_prometheus_and_grafana_run_with_the_profile_only(file: str) -> None:
    with_profile = {name for name, service in services(file).items() if service.get("profiles") == ["monitoring"]}
    assert with_profile == {"prometheus", "grafana"}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_their_images_are_pinned_and_their_ports_are_not_public(file: str, name: str) -> None:
    service = services(file)[name]
    assert IMAGE.fullmatch(service["image"].partition(":-")[2].removesuffix("}"))
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


@pytest.mark.parametrize("file", FILES)
def test_what_is_mounted_is_in_the_checkout(file: str) -> None:
    for name in ("prometheus", "grafana"):
        for source in mounts(services(file)[name]).values():
            if source.startswith("."):
                assert (settings.ROOT_DIR / source).exists()
            else:
                assert source in yaml.safe_load((settings.ROOT_DIR / file).read_text())["volumes"]


@pytest.mark.parametrize("file", FILES)
def test_prometheus_scrapes_services_that_run(file: str) -> None:
    found = services(file)
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in jobs for config in job.get("static_configs", []) for target in config["targets"]]
    assert {target.partition(":")[0] for target in targets} == {"metrics", "tensorflow-serving"}
    prometheus = set(found["prometheus"].get("networks", ["default"]))
    for target in targets:
        assert prometheus & set(found[target.partition(":")[0]].get("networks", ["default"]))


@pytest.mark.parametrize("file", FILES)
def test_grafana_finds_its_data_source_and_its_dashboard(file: str) -> None:
    found = mounts(services(file)["grafana"])
    provisioning = settings.ROOT_DIR / found["/etc/grafana/provisioning"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "moon_vision.yml").read_text())["providers"]
    folder = Path(provider["options"]["path"])
    assert [target for target in found if Path(target).parent == folder]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_traefik_answers_prometheus_at_a_port_that_is_not_published() -> None:
    traefik = services("production.yml")["traefik"]
    port = traefik["environment"]["TRAEFIK_ENTRYPOINTS_METRICS_ADDRESS"].removeprefix(":")
    assert not [published for published in traefik["ports"] if published.endswith(f":{port}")]
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = [config for job in jobs for config in job.get("dns_sd_configs", [])]
    assert (found["names"], str(found["port"])) == (["traefik"], port)


@pytest.mark.parametrize("file", FILES)
def test_processes_that_count_share_a_folder_in_memory(file: str) -> None:
    volume = yaml.safe_load((settings.ROOT_DIR / file).read_text())["volumes"]["metrics"]
    assert volume["driver_opts"]["type"] == "tmpfs"
    assert "uid=10001" in volume["driver_opts"]["o"]
    for name in ("django", "celeryworker", "webhookworker", "metrics"):
        service = services(file)[name]
        assert mounts(service)[service["environment"]["METRICS_DIR"]] == "metrics"


def test_the_exporter_has_no_public_port() -> None:
    assert "ports" not in services("production.yml")["metrics"]
