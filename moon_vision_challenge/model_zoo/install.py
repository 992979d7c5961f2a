"""Puts a model under its next version, lists it, and writes its class. Either all of it happens, or nothing."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from moon_vision_challenge.model_zoo.errors import AddError


def add_version(model_dir: Path, save: Callable[[Path], None], texts: Mapping[Path, str]) -> Path:
    """Save a model into the next version folder, which appears complete, then write the texts, each in one step.

    Everything is undone if something fails. Two processes take turns.

    Args:
        save: writes the model's files into the folder that it is given.
        texts: the whole new text of each file.

    Raises:
        AddError: something cannot be written. Exceptions of `save` pass through.
    """
    existed = model_dir.parent.exists()
    try:
        model_dir.mkdir(parents=True, exist_ok=True)
        with (model_dir / ".lock").open("w") as lock, ExitStack() as undo:
            fcntl.flock(lock, fcntl.LOCK_EX)
            version_dir = model_dir / str(_next_version(model_dir))
            with _staging(model_dir) as staging:
                save(staging)
                staging.rename(version_dir)
            undo.callback(shutil.rmtree, version_dir, ignore_errors=True)
            for path, text in texts.items():
                undo.callback(_put_back, path, path.read_bytes() if path.exists() else None)
                _replace(path, text)
            undo.pop_all()
            return version_dir
    except OSError as error:
        raise AddError(f"{error.filename or model_dir} cannot be written: {error.strerror}.") from error
    finally:
        if model_dir.is_dir() and {one.name for one in model_dir.iterdir()} <= {".lock"}:
            shutil.rmtree(model_dir if existed else model_dir.parent, ignore_errors=True)


def _next_version(model_dir: Path) -> int:
    versions = [int(one.name) for one in model_dir.iterdir() if one.name.isascii() and one.name.isdecimal()]
    return max(versions, default=0) + 1


@contextmanager
def _staging(model_dir: Path) -> Iterator[Path]:
    """Yield a folder on the same file system. Its name is not a number, so the model server ignores it."""
    folder = Path(tempfile.mkdtemp(prefix=".adding-", dir=model_dir))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    real = path.resolve()  # a link stays a link
    handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(name).chmod(real.stat().st_mode & 0o777 if real.exists() else 0o644)
        Path(name).replace(real)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _put_back(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)
