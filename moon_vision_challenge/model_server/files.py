"""The files that a model is loaded from: which they are, whether they changed, and a private copy."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ONNX_FILE = "model.onnx"
SAVED_MODEL_FILE = "saved_model.pb"
# A version folder may hold both forms of a model: one for TensorFlow Serving, the other for this server.
_SAVED_MODEL_FILES = frozenset({SAVED_MODEL_FILE, "variables", "assets", "assets.extra", "fingerprint.pb"})

# By path relative to the version folder: size in bytes, time of the last change, inode.
Snapshot = dict[str, tuple[int, int, int]]


def model_files(version_dir: Path) -> list[Path]:
    """The files of the model that is served from this folder. Subfolders that cannot be read are left out."""
    is_onnx = (version_dir / ONNX_FILE).is_file()
    found = (path for path in version_dir.rglob("*") if path.is_file())
    return [path for path in found if not (is_onnx and path.relative_to(version_dir).parts[0] in _SAVED_MODEL_FILES)]


def take_snapshot(version_dir: Path) -> Snapshot:
    """A snapshot, to find out later whether a file was added, removed or changed."""
    snapshot = {}
    for path in model_files(version_dir):
        with suppress(OSError):  # deleted in between
            status = path.stat()
            snapshot[str(path.relative_to(version_dir))] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return snapshot


def changed_files(before: Snapshot, now: Snapshot) -> list[str]:
    """The files of `before` that are different or gone. New files do not count: no model was loaded from them."""
    return sorted(name for name, status in before.items() if now.get(name) != status)


@contextmanager
def private_copy(version_dir: Path) -> Iterator[Path]:
    """A private folder with copies of the model's files. It is deleted at the end.

    A mapped file then stays on disk and in the page cache as long as its mapping exists. Raises OSError.
    """
    with tempfile.TemporaryDirectory(prefix="model_server-") as folder:
        for path in model_files(version_dir):
            target = Path(folder) / path.relative_to(version_dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield Path(folder)
