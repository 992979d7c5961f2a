"""Fetches and unpacks a tarball of ready models: <name>/<version>/..., in a folder `models` or at the top."""

import hashlib
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from moon_vision_challenge.model_zoo.errors import BuildError

MAX_BYTES = 2_000_000_000  # of the tarball, and of its content
TIMEOUT_S = 30  # without receiving a byte
CHUNK_BYTES = 1 << 20
UNFINISHED = ".unpacking-"


class TarballError(BuildError):
    """The tarball cannot be fetched, or is not what it should be."""


def fetch_and_unpack(url: str, models_dir: Path, sha256: str | None = None) -> list[Path]:
    """Return the new version folders, each of which appears complete or not at all. Existing ones stay unchanged.

    Raises TarballError, or OSError if the models folder cannot be written.
    """
    if not url.startswith(("https://", "http://", "file://")):
        raise TarballError(f"MODEL_DATA_URL must be an http, https or file URL, not {url}")
    models_dir.mkdir(parents=True, exist_ok=True)
    for left in models_dir.glob(f"{UNFINISHED}*"):  # left by a killed run
        shutil.rmtree(left)
    with (
        tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=models_dir) as folder,
        tempfile.TemporaryFile(dir=models_dir) as file,  # /tmp may not have room for it
    ):
        _fetch(url, file, sha256)
        _unpack(file, Path(folder))
        return _move_versions(Path(folder), models_dir)


def _fetch(url: str, file: IO[bytes], sha256: str | None) -> None:
    digest = hashlib.sha256()
    received = 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310 - the scheme was checked
            total = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(CHUNK_BYTES):
                received += len(chunk)
                if received > MAX_BYTES:
                    raise TarballError(f"{url} is larger than {MAX_BYTES} bytes")
                digest.update(chunk)
                file.write(chunk)
                if sys.stderr.isatty():
                    print(f"\r{received / 1e6:.0f} of {total / 1e6:.0f} MB", end="", file=sys.stderr, flush=True)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the answer's body
        raise TarballError(f"Cannot fetch {url}: {getattr(error, 'reason', error)}") from error
    if sha256 and digest.hexdigest() != sha256.lower():
        raise TarballError(f"{url} has the SHA-256 {digest.hexdigest()}, not the one in MODEL_DATA_SHA256")
    file.seek(0)


def _unpack(file: IO[bytes], folder: Path) -> None:
    unpacked = 0
    try:
        with tarfile.open(fileobj=file, mode="r:*") as tar:
            for member in tar:
                if not (member.isreg() or member.isdir()):  # a link may point elsewhere once its version is moved
                    raise TarballError(f"The tarball cannot be unpacked: {member.name} is neither a file nor a folder")
                unpacked += member.size
                if unpacked > MAX_BYTES:
                    raise TarballError(f"The tarball holds more than {MAX_BYTES} bytes")
                tar.extract(member, folder, filter="data")  # nothing outside the folder, no owners
    except (tarfile.TarError, EOFError, OSError) as error:
        raise TarballError(f"The tarball cannot be unpacked: {error}") from error


def _move_versions(folder: Path, models_dir: Path) -> list[Path]:
    root = folder / "models" if (folder / "models").is_dir() else folder
    versions = [path for path in sorted(root.glob("*/*")) if path.name.isdecimal() and path.is_dir()]
    if not versions:
        raise TarballError("The tarball does not hold a <model>/<version>/ folder")
    new = [path for path in versions if not (models_dir / path.relative_to(root)).exists()]
    for path in new:
        target = models_dir / path.relative_to(root)
        target.parent.mkdir(exist_ok=True)
        shutil.move(path, target)  # a rename: both are on one file system
    return [models_dir / path.relative_to(root) for path in new]
