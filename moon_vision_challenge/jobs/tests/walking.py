"""Files for the archives of tests, and helpers to walk archives."""

from collections.abc import Iterator
from typing import BinaryIO

from moon_vision_challenge.jobs import archives
from moon_vision_challenge.jobs.archives.entries import Entry
from moon_vision_challenge.jobs.archives.source import Source
from moon_vision_challenge.jobs.errors import EntryError

FILES = {"a.jpg": b"first", "folder/b.jpg": b"second" * 50_000, "ü/ñ.jpg": b"third"}


def source_of(file: BinaryIO, data: bytes, before: bytes = b"", after: bytes = b"") -> Source:
    file.write(before + data + after)
    file.flush()
    return Source(file.fileno(), len(before), len(data))


def walk(source: Source) -> Iterator[Entry]:
    container = archives.recognize(source)
    assert container
    return archives.walk(container, source)


def outcome(entry: Entry) -> bytes | str:
    """Return the content of an entry, or the code of its error."""
    try:
        return entry.read()
    except EntryError as error:
        return error.code


def outcomes(file: BinaryIO, data: bytes) -> dict[str, bytes | str]:
    return {entry.name: outcome(entry) for entry in walk(source_of(file, data))}
