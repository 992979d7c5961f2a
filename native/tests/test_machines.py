"""Tests where the project runs: which platforms have wheels, and a checkout in a folder with a difficult name."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from native import postgres
from native.environment import ROOT, free_public_ports

pytestmark = pytest.mark.e2e
UV = Path(sys.executable).with_name("uv")
CACHE = os.environ.get("UV_CACHE_DIR", str(ROOT / ".run" / "cache" / "uv"))
# Whether packages contain everything that `make run` needs, and whether one contains Redis.
PLATFORMS = {
    "x86_64-unknown-linux-gnu": (True, True),
    "aarch64-unknown-linux-gnu": (True, False),
    "aarch64-apple-darwin": (True, False),
    "x86_64-apple-darwin": (False, False),  # onnxruntime
    "x86_64-unknown-linux-musl": (False, False),  # cykooz_resizer
}
NAME = "a checkout [of] Größe & 'co', şığ"
# The whole path is far longer than the path of a Unix socket (107 bytes) or the first line of a script (127) may be.
DEEP = "/".join(["a folder in a folder"] * 8)


@pytest.fixture(scope="module")
def _online(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not resolves(tmp_path_factory.mktemp("uv"), "uv", "x86_64-unknown-linux-gnu", "3.12"):
        pytest.skip("the package index does not answer")


def resolves(folder: Path, lock: str, platform: str, python: str) -> bool:
    """Return whether all packages of the lock have wheels for this platform and Python."""
    options = ["--dry-run", "--only-binary", ":all:", "--no-deps", "--python-platform", platform]
    target = ["--target", str(folder / "target"), "-r", str(ROOT / "requirements" / f"{lock}.txt")]
    done = subprocess.run(
        [UV, "pip", "install", *options, "--python-version", python, *target],
        env=os.environ | {"UV_CACHE_DIR": CACHE, "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        capture_output=True,
        check=False,
        timeout=600,
    )
    return done.returncode == 0


@pytest.mark.usefixtures("_online")
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_make_run_needs_comes_from_wheels(tmp_path: Path, platform: str, python: str) -> None:
    everything, redis = PLATFORMS[platform]
    assert resolves(tmp_path, "native", platform, python) is everything
    assert resolves(tmp_path, "redis", platform, "3.12") is redis  # as in bootstrap.sh


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / DEEP / NAME
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, os.fsdecode(listed).split("\0")):
        if (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, path / name)
    yield path
    for left in postgres.ROOT_MODE_HOME.glob("a checkout ?of? *"):
        shutil.rmtree(left)


@pytest.mark.usefixtures("_online")
@pytest.mark.parametrize("locale", ["C", "tr_TR.UTF-8"])
def test_demo_runs_in_a_folder_and_an_environment_that_are_hard(checkout: Path, tmp_path: Path, locale: str) -> None:
    (tmp_path / "home").mkdir(mode=0o500)
    # Without the settings of the tests, but with what the network needs, such as a proxy.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "COV"))}
    environment |= {
        "HOME": str(tmp_path / "home"),
        "LC_ALL": locale,
        "TZ": "Asia/Kathmandu",
        "UV_CACHE_DIR": CACHE,
        "PYTHON": sys.executable,
        **free_public_ports(),
    }
    done = subprocess.run(
        ["sh", "-c", "umask 077 && exec make --no-print-directory demo"],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "2 passed, 0 failed"
    assert "Traceback" not in done.stdout + done.stderr
