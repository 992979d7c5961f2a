"""Sources of images: files, folders, patterns, standard input, and addresses."""

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from moonvision.errors import UnreadableImageError

MAX_BYTES = 64 * 1024 * 1024
"""The most that is read of one image. The service has a lower limit, which it reports itself."""

URL_TIMEOUT_S = 30
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jfif"}
)
"""The suffixes of files in a folder that count as images. A file that is named explicitly always counts."""


@dataclass(frozen=True)
class Image:
    """The name of an image, and a function that reads its bytes. Nothing is read before it is needed."""

    name: str
    read: Callable[[], bytes]

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "image") -> "Image":
        return cls(name, lambda: data)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> "Image":
        return cls(os.fspath(path), lambda: _read_file(Path(path)))

    @classmethod
    def from_url(cls, url: str) -> "Image":
        return cls(url, lambda: _read_url(url))

    @classmethod
    def from_stdin(cls) -> "Image":
        return cls("-", lambda: _limited(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input"))


def find(arguments: Iterable[str]) -> Iterator[Image]:
    """Yield the images from files, folders (including subfolders), patterns, `-`, and http(s) addresses.

    Raises UnreadableImageError for a name that does not exist, and for a pattern that matches nothing.
    """
    for argument in arguments:
        if argument == "-":
            yield Image.from_stdin()
        elif argument.startswith(("http://", "https://")):
            yield Image.from_url(argument)
        else:
            yield from _find_files(argument)


def _find_files(argument: str) -> Iterator[Image]:
    path = Path(argument)
    if path.is_dir():
        yield from _find_in_folder(path)
    elif path.exists():
        yield Image.from_file(path)
    else:
        matches = sorted(glob.glob(argument, recursive=True)) if glob.has_magic(argument) else []  # noqa: PTH207 - also absolute patterns
        if not matches:
            raise UnreadableImageError(f"{argument}: no such file or folder")
        for match in map(Path, matches):
            yield from _find_in_folder(match) if match.is_dir() else [Image.from_file(match)]


def _find_in_folder(folder: Path) -> Iterator[Image]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(files)):
            if path.suffix.lower() in SUFFIXES:
                yield Image(str(path), partial(_read_regular, path))


def _read_regular(path: Path) -> bytes:
    """Read a regular file. Reading a pipe or a device that happens to be in a folder could block forever."""
    check_regular(path)
    return _read_file(path)


def check_regular(path: Path) -> None:
    """Raises UnreadableImageError if the path exists, but is not a regular file."""
    if path.exists() and not path.is_file():
        raise UnreadableImageError(f"{path}: not a regular file")


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _limited(file.read(MAX_BYTES + 1), str(path))
    except OSError as error:
        raise UnreadableImageError(f"{path}: {error.strerror}") from error


def _read_url(url: str) -> bytes:
    data = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=URL_TIMEOUT_S) as response:
            if response.status_code != httpx.codes.OK:
                raise UnreadableImageError(f"{url}: status {response.status_code}")
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > MAX_BYTES:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreadableImageError(f"{url}: {error}") from error
    return _limited(bytes(data), url)


def _limited(data: bytes, name: str) -> bytes:
    if len(data) > MAX_BYTES:
        raise UnreadableImageError(f"{name}: more than {MAX_BYTES:,} bytes")
    return data
