"""Jobs: many images in one request, sent as a tar that is created while it is read."""

import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from moonvision.errors import UnreadableImageError
from moonvision.images import check_regular

FINAL = frozenset({"done", "fail", "canceled"})

_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Job:
    """A job: many images in one request."""

    id: int
    status: str
    """unpacking, processing, done, fail, canceling, canceled, or deleting."""
    total: int
    counts: Mapping[str, int]
    """The number of images in each status."""
    body: Mapping[str, Any] = field(repr=False)
    """The whole response."""

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        return cls(body["id"], body["status"], body["total"], body.get("counts", {}), body)

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


class Folder:
    """A tar of files, which exists only while it is sent. It can be sent again.

    Args:
        paths: the files, by their names in the tar.

    Raises UnreadableImageError.
    """

    media_type = "application/x-tar"

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._files = [(_header(name, path), path) for name, path in paths.items()]
        self.size = sum(len(head) + _padded(info.size) for (info, head), _ in self._files) + 2 * tarfile.BLOCKSIZE

    def __iter__(self) -> Iterator[bytes]:
        for (info, head), path in self._files:
            yield head
            yield from _content(path, info.size)
            yield bytes(_padded(info.size) - info.size)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def fingerprint(self) -> str:
        """Return a digest that changes when a file is added, removed, or changed. It does not read the files."""
        digest = hashlib.sha256()
        for (_, head), path in self._files:
            digest.update(head + f"{path.stat().st_mtime_ns}".encode())
        return digest.hexdigest()


class Archive:
    """A zip, tar, or tar.gz file. Raises UnreadableImageError."""

    media_type = "application/octet-stream"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = _size(path)

    def __iter__(self) -> Iterator[bytes]:
        return _content(self._path, self.size)

    def fingerprint(self) -> str:
        found = self._path.stat()
        return hashlib.sha256(f"{self._path.name} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()


def upload_of(path: Path, suffixes: Iterable[str]) -> Folder | Archive:
    """Return the upload for a folder, including its subfolders, or for an archive."""
    if not path.is_dir():
        return Archive(path)
    known = frozenset(suffixes)
    found = (Path(parent, name) for parent, _, names in os.walk(path) for name in names)
    images = sorted(each for each in found if each.suffix.lower() in known)
    if not images:
        raise UnreadableImageError(f"{path}: no images in this folder")
    return Folder({each.relative_to(path).as_posix(): each for each in images})


def idempotency_key(upload: Folder | Archive, options: Sequence[object]) -> str:
    return hashlib.sha256(f"{upload.fingerprint()} {options}".encode()).hexdigest()


def _header(name: str, path: Path) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = _size(path)
    return info, info.tobuf(tarfile.PAX_FORMAT)


def _size(path: Path) -> int:
    check_regular(path)
    try:
        return path.stat().st_size
    except OSError as error:
        raise UnreadableImageError(f"{path}: {error.strerror}") from error


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _content(path: Path, size: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while size and (block := file.read(min(_BLOCK_BYTES, size))):
                size -= len(block)
                yield block
    except OSError as error:
        raise UnreadableImageError(f"{path}: {error.strerror}") from error
    if size:
        raise UnreadableImageError(f"{path}: the file has become shorter while it was sent")
