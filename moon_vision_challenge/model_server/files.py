"""Finds the files that a model is loaded from, detects changes to them, and makes private copies of them."""

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
    """Return the files of the model that is served from this folder. Skips subfolders that cannot be read."""
    is_onnx = (version_dir / ONNX_FILE).is_file()
    found = (path for path in version_dir.rglob("*") if path.is_file())
    return [path for path in found if not (is_onnx and path.relative_to(version_dir).parts[0] in _SAVED_MODEL_FILES)]


def take_snapshot(version_dir: Path) -> Snapshot:
    """Take a snapshot, to find out later whether a file was added, removed, or changed."""
    snapshot = {}
    for path in model_files(version_dir):
        with suppress(OSError):  # deleted meanwhile
            status = path.stat()
            snapshot[str(path.relative_to(version_dir))] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return snapshot


def changed_files(before: Snapshot, now: Snapshot) -> list[str]:
    """Return the files of `before` that changed or vanished. New files do not count: no model was loaded from them."""
    return sorted(name for name, status in before.items() if now.get(name) != status)


@contextmanager
def private_copy(version_dir: Path) -> Iterator[Path]:
    """Yield a private folder with copies of the model's files. The folder is deleted at the end.

    Even then, a mapped file stays on disk and in the page cache as long as its mapping exists. Raises OSError.
    """
    with tempfile.TemporaryDirectory(prefix="model_server-") as folder:
        for path in model_files(version_dir):
            target = Path(folder) / path.relative_to(version_dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        yield Path(folder)
