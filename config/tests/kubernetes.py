"""Reads deploy/kubernetes/ for the tests, without Kubernetes tools."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from django.conf import settings

FOLDER: Path = settings.ROOT_DIR / "deploy" / "kubernetes"
Manifest = dict[str, Any]


def manifests(*kinds: str) -> list[Manifest]:
    """Return all manifests of these kinds, including those that are patches of others."""
    files = sorted(path for path in FOLDER.rglob("*.yml") if path.name != "kustomization.yml")
    loaded = [manifest for file in files for manifest in yaml.safe_load_all(file.read_text())]
    return [one for one in loaded if isinstance(one, dict) and (not kinds or one["kind"] in kinds)]


def pods() -> dict[str, Manifest]:
    """Return the pod spec of each Deployment and Job, by name. Patches are left out."""
    whole = [one for one in manifests("Deployment", "Job") if "serviceAccountName" in _pod(one)]
    found = {one["metadata"]["name"]: _pod(one) for one in whole if one["metadata"]["name"] != "model-server"}
    servers = [one for one in whole if one["metadata"]["name"] == "model-server"]
    return found | {f"model-server {number}": _pod(one) for number, one in enumerate(servers)}


def _pod(manifest: Manifest) -> Manifest:
    pod: Manifest = manifest["spec"]["template"]["spec"]
    return pod


def containers() -> Iterator[tuple[str, Manifest]]:
    """Yield each container with the name of its pod, including the containers of patches."""
    for one in manifests("Deployment", "Job"):
        for key in ("initContainers", "containers"):
            for container in _pod(one).get(key, []):
                yield one["metadata"]["name"], container


def kustomizations() -> dict[str, Manifest]:
    """Return the kustomization of each folder."""
    return {
        str(path.parent.relative_to(FOLDER)): yaml.safe_load(path.read_text())
        for path in sorted(FOLDER.rglob("kustomization.yml"))
    }


def variables() -> dict[str, str]:
    """Return the value of each variable in the files that become ConfigMaps, and in the containers."""
    found = {
        name: value
        for path in FOLDER.rglob("*.env")
        for name, _, value in (
            line.partition("=") for line in path.read_text().splitlines() if line[:1] not in ("", "#")
        )
    }
    return found | {each["name"]: each["value"] for _, one in containers() for each in one.get("env", [])}


def megabytes(quantity: str) -> float:
    """Convert a Kubernetes quantity of bytes to MiB."""
    return float(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]
