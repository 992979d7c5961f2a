"""Reads tar and tar.gz entry by entry. The standard library parses each header. Its TarFile keeps them all in memory.

https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
"""

import re
import tarfile
import zlib
from collections.abc import Iterator

from django.conf import settings

from moon_vision_challenge.inflate import Inflate, TooManyMembersError
from moon_vision_challenge.jobs.archives.entries import Entry, check_name, check_size, is_clutter, unusable
from moon_vision_challenge.jobs.archives.source import Source
from moon_vision_challenge.jobs.errors import EntryError, JobTooLargeError, UnreadableArchiveError

_BLOCK = tarfile.BLOCKSIZE
_MAX_EXTENSION_BYTES = 64 * 1024  # a long name, or pax records
_CHUNK_BYTES = 64 * 1024
_FILES = (*tarfile.REGULAR_TYPES,)
_NOTES = (b"V", b"D")  # GNU tar's label of an archive, and its list of a folder's files
_SPARSE_GOES_ON = 482  # in the first header; 504 in those that follow (GNU tar's manual, "Storing sparse files")
_PAX_RECORD = re.compile(rb"(\d{1,6}) ([^=]+)=")


def is_begin(block: bytes) -> bool:
    """Return whether a tar can begin with this block: a header, or the zeros that end an empty tar."""
    if block and not block.strip(b"\0"):
        return True
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def walk(source: Source) -> Iterator[Entry]:
    """See archives.walk."""
    return _Walk(_Plain(source)).entries()


def walk_compressed(source: Source) -> Iterator[Entry]:
    """See archives.walk."""
    return _Walk(_Compressed(source)).entries()


class _Plain:
    is_compressed = False

    def __init__(self, source: Source) -> None:
        self._stream = source.stream()
        self._size = source.size

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int) -> bytes:
        return self._stream.read(size)

    def finish(self) -> None:
        """Do nothing, because only padding follows the end."""

    def skip_to(self, position: int) -> None:
        if position > self._size + _BLOCK:
            raise UnreadableArchiveError("it is cut short.")
        self._stream.seek(position)


class _Compressed:
    """Counts all bytes that it has unpacked, because headers and skipped files also cost time."""

    is_compressed = True

    def __init__(self, source: Source) -> None:
        self._stream = Inflate(source.stream(), max_members=settings.JOB_MAX_ITEMS)
        self._position = 0
        # Including headers, padding, and files that are too large to be classified
        self._limit = 2 * settings.JOB_MAX_UNPACKED_BYTES + settings.JOB_MAX_ITEMS * 4 * _BLOCK

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except (EOFError, zlib.error):
            raise UnreadableArchiveError("its compressed data are damaged or cut short.") from None
        except TooManyMembersError:
            raise JobTooLargeError from None
        self._position += len(data)
        if self._position > self._limit:
            raise JobTooLargeError
        return data

    def finish(self) -> None:
        """Read the rest, including the checksum."""
        while self.read(_CHUNK_BYTES):
            pass

    def skip_to(self, position: int) -> None:
        while self._position < position:
            if not self.read(min(_CHUNK_BYTES, position - self._position)):
                raise UnreadableArchiveError("it is cut short.")


class _Walk:
    def __init__(self, stream: _Plain | _Compressed) -> None:
        self._stream = stream
        self._name: bytes | None = None
        self._size: int | None = None
        self._is_sparse = False

    def entries(self) -> Iterator[Entry]:
        number = 0
        while (block := self._stream.read(_BLOCK)).strip(b"\0"):
            number += 1
            if number > 4 * settings.JOB_MAX_ITEMS:  # including folders and extensions
                raise JobTooLargeError
            info = self._parse(block)
            size = info.size if self._size is None else self._size
            if size < 0:
                raise UnreadableArchiveError("the size of an entry is negative.")
            if info.type == tarfile.GNUTYPE_SPARSE:
                self._skip_sparse_headers(block)
            begin = self._stream.tell()
            following = begin + (-(-size // _BLOCK) * _BLOCK)
            if self._is_extension(info, size):
                self._stream.skip_to(following)
                continue
            if entry := self._entry(info, size):
                yield entry
            self._name, self._size, self._is_sparse = None, None, False
            self._stream.skip_to(following)
        self._stream.finish()

    def _parse(self, block: bytes) -> tarfile.TarInfo:
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise UnreadableArchiveError("an entry's header is damaged, or the file is cut short.") from None

    def _is_extension(self, info: tarfile.TarInfo, size: int) -> bool:
        """Return whether the block is not an entry itself, but describes the next entry, or all of them."""
        match info.type:
            case tarfile.GNUTYPE_LONGNAME if size <= _MAX_EXTENSION_BYTES:
                self._name = self._stream.read(size).rstrip(b"\0")
            case tarfile.XHDTYPE | tarfile.SOLARIS_XHDTYPE if size <= _MAX_EXTENSION_BYTES:
                self._read_records(self._stream.read(size))
            case tarfile.GNUTYPE_LONGNAME | tarfile.XHDTYPE | tarfile.SOLARIS_XHDTYPE:
                raise UnreadableArchiveError("the description of an entry is too long.")
            case tarfile.GNUTYPE_LONGLINK | tarfile.XGLTYPE:
                pass
            case _:
                return False
        return True

    def _read_records(self, data: bytes) -> None:
        position = 0
        while found := _PAX_RECORD.match(data, position):
            end = position + int(found[1])
            value = data[found.end() : end - 1]
            if end <= found.end():
                break
            if found[2] == b"path":
                self._name = value
            elif found[2] == b"size" and value.isdigit() and len(value) < 20:
                self._size = int(value)
            elif found[2].startswith(b"GNU.sparse"):
                self._is_sparse = True
            position = end

    def _skip_sparse_headers(self, block: bytes) -> None:
        goes_on, self._is_sparse = block[_SPARSE_GOES_ON], True
        while goes_on:
            more = self._stream.read(_BLOCK)
            if len(more) < _BLOCK:
                raise UnreadableArchiveError("it is cut short.")
            goes_on = more[504]

    def _entry(self, info: tarfile.TarInfo, size: int) -> Entry | None:
        raw = info.name.encode("utf-8", "surrogateescape") if self._name is None else self._name
        try:
            name = check_name(_decode(raw))
            if info.isdir() or info.type in _NOTES or is_clutter(name):
                return None
            if info.type not in _FILES or self._is_sparse:
                raise EntryError(
                    "not_a_file", "This entry is a link, a device, or a sparse file. Pack the file itself."
                )
            check_size(size)
        except EntryError as error:
            return None if info.isdir() else unusable(raw.decode(errors="backslashreplace"), error)
        begin = self._stream.tell()
        return Entry(name, size, lambda: self._read(size), None if self._stream.is_compressed else (begin, size))

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise UnreadableArchiveError("it is cut short.")
        return data


def _decode(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise EntryError("name_not_utf8", "The file's name is not UTF-8. Rename it.") from None
