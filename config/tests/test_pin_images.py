"""pin_images with a stand-in for Docker. compose/tests/pins tests it with an engine and a registry."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from django.conf import settings

ROOT: Path = settings.ROOT_DIR
MAINTENANCE = Path("compose/production/maintenance")
COMPOSE = """\
services:
  postgres:
    image: ${POSTGRES_IMAGE:-postgres:16}
  tensorflow-serving:
    image: ${TF_SERVING_IMAGE:-tensorflow/serving:2.19.1}
  grafana:
    image: ${GRAFANA_IMAGE:-grafana/grafana:12.1.0}
"""
DOCKERFILE = "ARG PYTHON_IMAGE=python:3.12\nFROM ${PYTHON_IMAGE}\nARG TF_SERVING_IMAGE=tensorflow/serving\n"
# The stand-in. Its registry is the folder `registry`, with a file for each image that holds its digest. Grafana is in a
# profile that is off.
DOCKER = """\
echo "$*" >> called
file() { echo "registry/$1" | tr ':/' '__' | sed 's/^registry_/registry\\//'; }
case "$1 $2" in
  "compose config")
    while IFS='|' read -r name default; do
      used=$(sed -n "s/^$name=\\([^ ]*\\).*/\\1/p" .env | tail -n 1)
      echo "${used:-$default}"
    done <<< $'POSTGRES_IMAGE|postgres:16\\nTF_SERVING_IMAGE|tensorflow/serving:2.19.1'
    ;;
  "compose build") touch "$(file "moon_vision_challenge/$3").built" ;;
  "image inspect") [ -e "$(file "${@: -1}").built" ] && echo 0 ;;
  pull*) [ -e "$(file "$2")" ] && echo "Digest: $(cat "$(file "$2")")" ;;
esac
"""
A, B = ("sha256:" + letter * 64 for letter in "ab")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout whose registry has all images, with the digest A."""
    path = tmp_path / "checkout"
    shutil.copytree(ROOT / MAINTENANCE, path / MAINTENANCE)
    (path / "production.yml").write_text(COMPOSE)
    for name in ("compose/django", "compose/production/traefik"):
        (path / name).mkdir(parents=True)
        (path / name / "Dockerfile").write_text(DOCKERFILE)
    (path / "registry").mkdir()
    for image in ("postgres_16", "tensorflow_serving_2.19.1", "python_3.12"):
        (path / "registry" / image).write_text(A)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f"#!/bin/bash\n{DOCKER}")
    docker.chmod(0o755)
    return path


def run(checkout: Path, script: str = "pin_images", *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / MAINTENANCE / script), *arguments],
        env={"PATH": f"{checkout.parent / 'bin'}:{os.environ['PATH']}"},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def pin(checkout: Path, status: int = 0) -> str:
    """Run pin_images. Return what it says about images that it does not pin."""
    done = run(checkout)
    assert done.returncode == status, done.stderr
    return done.stderr


def env(checkout: Path) -> list[str]:
    return (checkout / ".env").read_text().splitlines()


def pinned(name: str, image: str, digest: str = A) -> str:
    return f"{name}={image}@{digest} # make pin_images"


ALL = [
    pinned("POSTGRES_IMAGE", "postgres:16"),
    pinned("TF_SERVING_IMAGE", "tensorflow/serving:2.19.1"),
    pinned("PYTHON_IMAGE", "python:3.12"),
]


def test_images_that_run_and_base_images_are_pinned_and_other_lines_stay(checkout: Path) -> None:
    (checkout / ".env").write_text("# of this server\nWEB_REPLICAS=2\nRELEASE=1")
    (checkout / ".env").chmod(0o640)
    pin(checkout)
    assert env(checkout) == ["# of this server", "WEB_REPLICAS=2", "RELEASE=1", *ALL]
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o640


def test_only_the_next_pin_follows_a_tag_that_has_moved(checkout: Path) -> None:
    pin(checkout)
    (checkout / "registry" / "postgres_16").write_text(B)
    assert run(checkout, "pin_images", "check").stdout == ""
    assert env(checkout) == ALL
    pin(checkout)
    assert env(checkout) == [pinned("POSTGRES_IMAGE", "postgres:16", B), *ALL[1:]]


def test_an_image_that_was_built_here_under_any_name_stays_as_it_is(checkout: Path) -> None:
    (checkout / ".env").write_text("TF_SERVING_IMAGE=moon_vision_challenge/model_server\n")
    (checkout / "registry" / "postgres_16.built").touch()
    assert "postgres:16 was built or loaded on this machine" in pin(checkout)
    assert env(checkout) == ["TF_SERVING_IMAGE=moon_vision_challenge/model_server", ALL[2]]
    assert "pull postgres" not in (checkout / "called").read_text()
    assert "not pinned by digest: postgres:16." in run(checkout, "pin_images", "check").stdout


def test_a_registry_that_does_not_answer_leaves_the_earlier_pin(checkout: Path) -> None:
    pin(checkout)
    (checkout / "registry" / "postgres_16").unlink()
    (checkout / "registry" / "python_3.12").write_text(B)
    assert "postgres:16 could not be asked for" in pin(checkout, status=1)
    assert env(checkout) == [*ALL[:2], pinned("PYTHON_IMAGE", "python:3.12", B)]


def test_an_image_of_the_operator_is_pinned_under_its_own_name(checkout: Path) -> None:
    (checkout / "registry" / "mirror.example.com_5000_serving_2").write_text(B)
    lines = ["TF_SERVING_IMAGE=mirror.example.com:5000/serving:2", f"PYTHON_IMAGE=python:3@{A}"]
    (checkout / ".env").write_text("\n".join(lines))
    pin(checkout)
    assert pinned("TF_SERVING_IMAGE", "mirror.example.com:5000/serving:2", B) in env(checkout)
    assert set(lines) < set(env(checkout))  # the operator has pinned the second one
    assert run(checkout, "pin_images", "check").stdout == ""


def test_images_without_a_digest_are_named(checkout: Path) -> None:
    done = run(checkout, "pin_images", "check")
    assert done.returncode == 0
    assert done.stdout == (
        "not pinned by digest: postgres:16 tensorflow/serving:2.19.1 python:3.12. To pin them: make pin_images\n"
    )


@pytest.mark.parametrize("wanted", ["postgres:17", f"postgres:16@{B}"])
def test_a_deploy_does_not_begin_while_a_pin_hides_another_image_of_the_checkout(checkout: Path, wanted: str) -> None:
    pin(checkout)
    (checkout / "production.yml").write_text(COMPOSE.replace("postgres:16", wanted))
    (checkout / "registry" / "postgres_17").write_text(B)
    (checkout / "called").unlink()
    done = run(checkout, "deploy")
    assert done.returncode == 1
    assert f"POSTGRES_IMAGE is postgres:16@{A} in .env, and this checkout wants {wanted}." in done.stderr
    assert (checkout / "called").read_text() == "compose config --images\n"
    pin(checkout)
    assert run(checkout, "pin_images", "check").returncode == 0


def test_a_line_that_the_operator_adds_later_counts(checkout: Path) -> None:
    pin(checkout)
    with (checkout / ".env").open("a") as file:
        file.write("TF_SERVING_IMAGE=moon_vision_challenge/model_server\n")
    assert run(checkout, "pin_images", "check").stdout == ""
    pin(checkout)
    assert env(checkout) == ["TF_SERVING_IMAGE=moon_vision_challenge/model_server", ALL[0], ALL[2]]


def test_traefik_is_built_again_only_if_its_sources_change(checkout: Path) -> None:
    def builds() -> int:
        (checkout / "called").unlink(missing_ok=True)
        assert run(checkout, "build").returncode == 0
        return (checkout / "called").read_text().splitlines().count("compose build traefik")

    (checkout / ".release").mkdir()
    (checkout / ".env").touch()
    assert builds() == 1
    assert builds() == 0
    (checkout / ".env").write_text("TRAEFIK_IMAGE=traefik:v3.8\n")
    assert (builds(), builds()) == (1, 0)
    with (checkout / "compose/production/traefik/Dockerfile").open("a") as file:
        file.write("USER 10001\n")
    assert (builds(), builds()) == (1, 0)
    (checkout / "registry" / "traefik_v3.8.built").touch()  # pulled again
    assert (builds(), builds()) == (1, 0)


def test_every_image_of_others_can_be_pinned() -> None:
    """Each has a documented variable that builds also read, with the same default everywhere."""
    documented = (ROOT / "docs" / "settings.md").read_text()
    defaults: dict[str, str] = {}
    for file in [ROOT / "local.yml", ROOT / "production.yml", *(ROOT / "deploy").glob("*.yml")]:
        for service in yaml.safe_load(file.read_text()).get("services", {}).values():
            image = service.get("image", "moon_vision_challenge/")
            if not image.startswith("moon_vision_challenge/"):
                name, default = re.fullmatch(r"\$\{([A-Z_]+_IMAGE):-([^}]+)\}", image).groups()  # type: ignore[union-attr]
                assert defaults.setdefault(name, default) == default
    for file in ROOT.glob("compose/**/Dockerfile"):
        name, default = re.search(r"^ARG ([A-Z_]+_IMAGE)=(\S+)\n", file.read_text(), re.M).groups()  # type: ignore[union-attr]
        assert set(re.findall(r"^FROM (\S+)", file.read_text(), re.M)) == {f"${{{name}}}"}
        assert defaults.setdefault(name, default) == default
    assert [name for name in defaults if f"`{name}`" not in documented] == []
    for file in (ROOT / "local.yml", ROOT / "production.yml"):
        for service in yaml.safe_load(file.read_text())["services"].values():
            if "build" in service:
                base = "TRAEFIK_IMAGE" if "traefik" in service["image"] else "PYTHON_IMAGE"
                assert service["build"]["args"][base] is None
