"""The containers in which a request sends many images: zip, tar, tar.gz, and the form itself.

Each is walked entry by entry, within limits. No name from an archive ever becomes the name of a file.
"""

from collections.abc import Callable, Iterator

from moon_vision_challenge.jobs.archives import form, tar_file, zip_file
from moon_vision_challenge.jobs.archives.entries import Entry
from moon_vision_challenge.jobs.archives.source import Source

ZIP, TAR, TAR_GZ, FORM = "zip", "tar", "tar.gz", "form"

_WALKS: dict[str, Callable[[Source], Iterator[Entry]]] = {
    ZIP: zip_file.walk,
    TAR: tar_file.walk,
    TAR_GZ: tar_file.walk_compressed,
    FORM: form.walk,
}


def walk(container: str, source: Source) -> Iterator[Entry]:
    """Return the files of a container in order. Read each entry before you ask for the next one.

    Raises:
        UnreadableArchiveError: the container itself is damaged. A damaged entry raises its error when it is read.
        JobTooLargeError: it has more files than a job may have, or is too large when unpacked.
    """
    return _WALKS[container](source)


def recognize(source: Source) -> str | None:
    """Return ZIP, TAR, TAR_GZ, or None."""
    head = source.read_at(0, 512)
    if head.startswith(b"\x1f\x8b"):
        return TAR_GZ
    if tar_file.is_begin(head):
        return TAR
    return ZIP if zip_file.is_zip(source) else None


_OTHERS = {
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ\0": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\xff\xd8\xff": "an image",
    b"\x89PNG": "an image",
}


def describe_unknown(source: Source) -> str:
    """Describe a source that `recognize` does not know, for the client."""
    head = source.read_at(0, 16)
    return next((name for begin, name in _OTHERS.items() if head.startswith(begin)), "of an unknown format")
