#!/usr/bin/env python
"""Validate the manifests without a cluster. `make kubernetes` runs it, in an environment with the tools.

kubectl's kustomize renders each overlay. The kinds of Kubernetes are compared with the schemas of the oldest and of the
newest release that the manifests are for. For the kinds of KEDA and of the operator of Prometheus, schemas/ has the
fields that the manifests use. checkov looks for what makes a pod insecure.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
BIN = Path(sys.executable).parent
OLDEST, NEWEST = "1.30", "1.37"
SECRETS = ("django", "celerybeat", "metrics", "migrations")
# Checkov's checks that the manifests do not pass, and why.
SKIPPED = {
    "CKV_K8S_15": "A tag is never used twice, so an image on the node is the right one",
    "CKV_K8S_35": "Secrets are variables here. Every variable can also be a file: NAME_FILE",
    "CKV_K8S_43": "Images are named by tag. You can pin a digest in the overlay",
}

Manifest = dict[str, Any]


class InvalidError(Exception):
    """What is wrong, in a sentence."""


def overlays() -> list[Path]:
    return sorted(
        path.parent for folder in ("overlays", "queues") for path in FOLDER.glob(f"{folder}/*/kustomization.yml")
    )


def render(overlay: Path) -> str:
    done = subprocess.run([BIN / "kubectl", "kustomize", overlay], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InvalidError(f"kubectl kustomize {overlay}: {done.stderr}")
    return done.stdout


def problem_of(manifest: Manifest) -> str | None:
    """Return what is wrong with a manifest, or None."""
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    schema = FOLDER / "schemas" / f"{manifest['kind']}.json"
    try:
        if schema.exists():
            jsonschema.validate(manifest, json.loads(schema.read_text()))
        else:
            for version in (OLDEST, NEWEST):
                kubernetes_validate.validate(manifest, version, strict=True)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
        return f"{name}: {error.message} (at {'.'.join(map(str, error.path))})"
    except kubernetes_validate.SchemaNotFoundError:
        return f"{name}: no schema describes this kind"
    return None


def check_security(folder: Path) -> None:
    """Raises InvalidError with checkov's report about the files in the folder."""
    command = [str(BIN / "checkov"), "--directory", str(folder), "--framework", "kubernetes", "--compact", "--quiet"]
    command += ["--skip-download", "--skip-check", ",".join(SKIPPED)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InvalidError(f"checkov: {done.stdout}{done.stderr}")


def check_secrets() -> None:
    """Check that kubectl can read the files of `make production_env` as secrets. Raises InvalidError if not."""
    for name in SECRETS:
        template = ROOT / ".envs" / ".production" / f".{name}.template"
        command = [str(BIN / "kubectl"), "create", "secret", "generic", name, "--dry-run=client", "--output=name"]
        done = subprocess.run([*command, f"--from-env-file={template}"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise InvalidError(f"{template}: {done.stderr}")


def problems(folder: Path) -> Iterator[str]:
    """Yield the problems of all overlays, and render them into the folder."""
    for overlay in overlays():
        name = str(overlay.relative_to(FOLDER))
        try:
            rendered = render(overlay)
        except InvalidError as error:
            yield str(error)
            continue
        (folder / f"{overlay.name}.yml").write_text(rendered)
        manifests = list(yaml.safe_load_all(rendered))
        yield from (f"{name}: {problem}" for problem in map(problem_of, manifests) if problem)
        sys.stdout.write(f"{name}: {len(manifests)} manifests\n")
    for check in (partial(check_security, folder), check_secrets):
        try:
            check()
        except InvalidError as error:
            yield str(error)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = list(problems(Path(folder)))
    sys.stderr.write("".join(f"{problem}\n" for problem in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
