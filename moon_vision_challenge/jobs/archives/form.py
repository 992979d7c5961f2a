"""multipart/form-data as a container: its fields, and its files one by one."""

from collections.abc import Iterator
from typing import NamedTuple

from django.conf import settings
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from moon_vision_challenge.jobs.archives.entries import Entry, check_name, check_size, unusable
from moon_vision_challenge.jobs.archives.source import Source
from moon_vision_challenge.jobs.errors import EntryError, JobTooLargeError
from moon_vision_challenge.web.errors import MalformedBodyError, echo

IMAGE, ARCHIVE = "image", "archive"

_MAX_FIELDS = 20
_MAX_TEXT_BYTES = 4096
_CHUNK_BYTES = 256 * 1024
_MAX_HEAD_BYTES = 64 * 1024


class Part(NamedTuple):
    name: str
    filename: str
    begin: int
    """Where its content begins in the source."""
    size: int
    content: bytes
    """As much of the content as was requested."""


def parts(source: Source, *, max_image_bytes: int = 0) -> Iterator[Part]:
    """Yield the parts in order, with up to `max_image_bytes` of each image, and with the text of fields.

    Raises MalformedBodyError, JobTooLargeError.
    """
    delimiter = b"\r\n--" + source.boundary.encode("latin-1", "replace")
    end = source.read_at(0, _MAX_HEAD_BYTES).find(delimiter[2:]) - 2  # the first delimiter has no line break
    kept: list[bytes] = []
    segment, begin, left = None, 0, 0
    try:
        for event in _events(source):
            if isinstance(event, MultipartSegment):
                begin = _content_position(source, end + len(delimiter))
                left = {IMAGE: max_image_bytes, ARCHIVE: 0}.get(event.name or "", _MAX_TEXT_BYTES)
                segment, kept = event, []
            elif event:
                kept.append(event[:left] if left else b"")
                left -= len(kept[-1])
            elif segment is not None:
                size = segment.size
                end = begin + size
                if size or segment.filename != "":  # otherwise the file field was left empty
                    yield Part(segment.name or "", _text(segment.filename or ""), begin, size, b"".join(kept))
    except (MultipartError, UnicodeError) as error:
        if "segment count" in str(error):
            raise JobTooLargeError from error
        raise MalformedBodyError(f"it is not valid multipart/form-data ({echo(error).lower()}).") from error


def walk(source: Source) -> Iterator[Entry]:
    """Yield the files in `image`. See archives.walk."""
    number = 0
    for part in parts(source, max_image_bytes=settings.INFERENCE_MAX_IMAGE_BYTES):
        if part.name == IMAGE:
            number += 1
            yield _entry(part, part.filename or f"image-{number}")


def _entry(part: Part, filename: str) -> Entry:
    try:
        name = check_name(filename)
        check_size(part.size)
    except EntryError as error:
        return unusable(filename, error)
    return Entry(name, part.size, lambda: part.content, (part.begin, part.size))


def _events(source: Source) -> Iterator[MultipartSegment | bytes | None]:
    stream = source.stream()
    limit = settings.JOB_MAX_ITEMS + _MAX_FIELDS
    boundary = source.boundary.encode("latin-1", "replace")
    # Latin-1 has a character for every byte, so a file name in any encoding is accepted.
    with PushMultipartParser(boundary, max_segment_count=limit, header_charset="latin-1") as parser:
        while not parser.closed and (chunk := stream.read(_CHUNK_BYTES)):
            yield from parser.parse(chunk)


def _content_position(source: Source, head: int) -> int:
    """Return the position after the empty line that ends a part's headers. The parser has already found that line."""
    size = 512
    while (found := source.read_at(head, size).find(b"\r\n\r\n")) < 0 and size < _MAX_HEAD_BYTES:
        size *= 4
    return head + found + 4


def _text(filename: str) -> str:
    try:
        return filename.encode("latin-1").decode()
    except UnicodeError:
        return filename
