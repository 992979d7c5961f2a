"""Stores uploads in a folder that web and workers share (DJANGO_MEDIA_BACKEND=local)."""

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage

from moon_vision_challenge.classification.exceptions import StorageFullError, StorageUnavailableError
from moon_vision_challenge.classification.media_store import stored_bytes
from moon_vision_challenge.classification.media_store.contract import MediaStore

_FULL = {errno.ENOSPC, errno.EDQUOT}


class _FileInMemory(ContentFile[bytes]):
    """Releases its bytes when it is closed, because a row and its file form a reference cycle."""

    def close(self) -> None:
        self.file.close()


class FolderStore(MediaStore, FileSystemStorage):
    """A folder whose disk may fill up, become read-only, or disappear."""

    def check(self) -> int:
        """Write and remove a small file."""
        with _translated_errors():
            Path(self.location).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.location) as file:
                file.write(b"\0")
                file.flush()
            return self._check_room(0)

    def _save(self, name: str, content: "File[bytes]") -> str:
        """Write the whole file, or nothing."""
        with _translated_errors():
            self._check_room(content.size)
            stored_bytes.reserve(content.size)
            path = Path(self.path(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                with open(descriptor, "wb") as file:  # noqa: PTH123  # it accepts a descriptor
                    for chunk in content.chunks():
                        file.write(chunk)
                if self.file_permissions_mode is not None:
                    path.chmod(self.file_permissions_mode)
            except BaseException:
                path.unlink()
                raise
        return name

    def _open(self, name: str, mode: str = "rb") -> "File[Any]":
        """Read the whole file, so that no later read fails. Raises FileNotFoundError if only the file is missing."""
        path = Path(self.path(name))
        if mode != "rb":
            return File(path.open(mode))
        try:
            return _FileInMemory(path.read_bytes(), name=name)
        except OSError as error:
            if self._is_lost(name, error):
                raise
            raise _store_error(error) from error

    def delete(self, name: str) -> None:
        with _translated_errors():
            super().delete(name)

    def delete_many(self, names: Iterable[str]) -> None:
        for name in names:
            self.delete(name)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return the folders and files in a folder. As on S3, a folder that does not exist is empty."""
        with _translated_errors():
            return super().listdir(path) if Path(self.path(path)).exists() else ([], [])

    def files(self, folder: str) -> Iterator[tuple[str, datetime]]:
        with _translated_errors():
            path = Path(self.path(folder))
            if not path.exists():
                return
            with os.scandir(path) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # it has just been deleted
                        if entry.is_file():
                            yield f"{folder}/{entry.name}", datetime.fromtimestamp(entry.stat().st_mtime, UTC)

    def stored_bytes(self) -> int:
        with _translated_errors():
            return sum(_file_sizes(Path(self.location)))

    def spool_folder(self, folder: str) -> Path:
        return Path(self.path(folder))

    def keep(self, path: Path, name: str) -> None:
        self.check()
        with _translated_errors():
            stored_bytes.reserve(path.stat().st_size)
            if self.file_permissions_mode is not None:
                path.chmod(self.file_permissions_mode)  # the worker may run as another user
            path.rename(self.path(name))

    @contextmanager
    def as_local_file(self, name: str) -> Iterator[BinaryIO]:
        path = Path(self.path(name))
        try:
            file = path.open("r+b" if os.access(path, os.W_OK) else "rb")
        except OSError as error:
            if self._is_lost(name, error):
                raise
            raise _store_error(error) from error
        with file:
            yield file

    def _is_lost(self, name: str, error: OSError) -> bool:
        """Return whether only the file is missing. If the topmost folder is missing, too, the disk is not mounted."""
        top, *rest = Path(name).parts
        return isinstance(error, FileNotFoundError) and (not rest or (Path(self.location) / top).exists())

    def _check_room(self, size: int) -> int:
        """Check the free space, and return it in bytes."""
        found = os.statvfs(next(folder for folder in self._folders() if folder.exists()))
        free = found.f_bavail * found.f_frsize
        if free - size < settings.MEDIA_MIN_FREE_BYTES:
            raise StorageFullError(f"{self.location}: {free} bytes are free, less than MEDIA_MIN_FREE_BYTES asks for")
        return free

    def _folders(self) -> list[Path]:
        """Return the folder, which the first upload creates, and its parents."""
        folder = Path(self.location)
        return [folder, *folder.parents]


def _file_sizes(folder: Path) -> Iterator[int]:
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # it has just been deleted
                yield (Path(root) / name).stat().st_size


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _store_error(error) from error


def _store_error(error: OSError) -> StorageUnavailableError:
    """Convert an error to StorageUnavailableError. Clients do not choose file names, so every error is the store's."""
    return (StorageFullError if error.errno in _FULL else StorageUnavailableError)(f"{error}")
