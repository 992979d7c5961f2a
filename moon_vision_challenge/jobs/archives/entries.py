"""What all containers have in common: an entry, its name, and how much of it is read."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from django.conf import settings

from moon_vision_challenge.jobs.errors import EmptyJobError, EntryError, JobTooLargeError

MAX_NAME_LENGTH = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")
# What operating systems add to archives and folders.
_CLUTTER = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)


class Entry(NamedTuple):
    """A file in a container."""

    name: str
    """The name as the client wrote it. Control characters are shown as their codes."""
    size: int
    """The most that `read` returns, in bytes."""
    read: Callable[[], bytes]
    """Raises EntryError."""
    stored: tuple[int, int] | None = None
    """The position and the number of its bytes in the source, if they are nowhere else."""


def unusable(name: str, error: EntryError) -> Entry:
    """Return an entry that raises this error when it is read."""

    def read() -> bytes:
        raise error

    return Entry(shown(name), 0, read)


def is_clutter(name: str) -> bool:
    return bool(_CLUTTER.search(name.replace("\\", "/")))


def shown(name: str) -> str:
    """Escape the characters of a name that a database, a terminal, or a spreadsheet acts on."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", name[:MAX_NAME_LENGTH])[:MAX_NAME_LENGTH]


def check_name(name: str) -> str:
    """Return the name without a leading `./`. Raises EntryError for a name that is too long or unsafe as a path."""
    if len(name) > MAX_NAME_LENGTH:
        raise EntryError("name_too_long", f"The file's name has more than {MAX_NAME_LENGTH} characters.")
    parts = name.replace("\\", "/").split("/")
    if _CONTROL.search(name) or not parts[0] or ".." in parts or _DRIVE.match(name):
        detail = "The file's name is absolute, leaves the archive's folder, or has control characters. Rename it."
        raise EntryError("unsafe_name", detail)
    return name.removeprefix("./")


def check_size(size: int) -> None:
    """Raises EntryError if the file is empty or too large."""
    if size > settings.INFERENCE_MAX_IMAGE_BYTES:
        detail = f"The file is too large. At most {settings.INFERENCE_MAX_IMAGE_BYTES:,} bytes are accepted."
        raise EntryError("file_too_large", detail)
    if size <= 0:
        raise EntryError("empty_file", "The file is empty.")


def distinct(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Refuse all but the first entry with the same name, because it is unclear which one is meant."""
    seen: set[int] = set()
    for entry in entries:
        digest = hash(entry.name)
        if digest in seen:
            yield unusable(entry.name, EntryError("duplicate_name", "An earlier file in the archive has this name."))
            continue
        seen.add(digest)
        yield entry


def measure(entries: Iterable[Entry]) -> int:
    """Return the number of entries. Raises EmptyJobError, JobTooLargeError."""
    count = size = 0
    for entry in entries:
        count += 1
        size += entry.size
        if count > settings.JOB_MAX_ITEMS or size > settings.JOB_MAX_UNPACKED_BYTES:
            raise JobTooLargeError
    if not count:
        raise EmptyJobError
    return count
