"""Reads zip entry by entry from its central directory. The standard library keeps the whole directory in memory.

The section numbers below are those of https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from django.conf import settings

from moon_vision_challenge.jobs.archives.entries import Entry, check_name, check_size, is_clutter, unusable
from moon_vision_challenge.jobs.archives.source import Source
from moon_vision_challenge.jobs.errors import EntryError, JobTooLargeError, UnreadableArchiveError

_END = struct.Struct("<4s4H2LH")  # 4.3.16
_END64_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_HEADER = struct.Struct("<4s6H3L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_MAX_COMMENT_BYTES = 65_535
_ENCRYPTED, _UTF8 = 0x1, 0x800  # 4.4.4
_STORED, _DEFLATED = 0, 8  # 4.4.5
_IN_ZIP64 = 0xFFFFFFFF
_UNIX = 3  # 4.4.2
_UNICODE_NAME = 0x7075  # 4.6.9
_CHUNK_BYTES = 64 * 1024


class _Directory(NamedTuple):
    position: int
    size: int
    shift: int
    """The number of bytes before the archive, as in a self-extracting one."""


class _Header(NamedTuple):
    flags: int
    method: int
    crc: int
    compressed_size: int
    size: int
    mode: int
    position: int
    """The position of the local header."""
    name: bytes


def is_zip(source: Source) -> bool:
    return _find_end(source) is not None


def walk(source: Source) -> Iterator[Entry]:
    """See archives.walk."""
    directory = _find_directory(source)
    content = source.stream()
    for number, header in enumerate(_headers(source, directory)):
        if number >= 2 * settings.JOB_MAX_ITEMS:  # including folders
            raise JobTooLargeError
        try:
            name = check_name(_decode(header))
        except EntryError as error:
            yield unusable(header.name.decode(errors="backslashreplace"), error)
            continue
        if name.endswith("/") or is_clutter(name):
            continue
        yield _entry(name, header, content, directory)


def _entry(name: str, header: _Header, content: BinaryIO, directory: _Directory) -> Entry:
    try:
        _check(header)
    except EntryError as error:
        return unusable(name, error)
    position = header.position + directory.shift

    def read() -> bytes:
        content.seek(_content_position(content, position))
        return _unpack(content, header)

    return Entry(name, header.size, read, (position + _LOCAL.size + len(header.name), header.compressed_size))


def _check(header: _Header) -> None:
    if header.flags & _ENCRYPTED:
        raise EntryError("encrypted_file", "The file is encrypted. Send it without a password.")
    if stat.S_IFMT(header.mode) not in (0, stat.S_IFREG):
        raise EntryError("not_a_file", "This entry is a link or a device, and not a file.")
    if header.method not in (_STORED, _DEFLATED):
        raise EntryError("unsupported_compression", "The file's compression is not supported. Use deflate or none.")
    check_size(header.size)


def _decode(header: _Header) -> str:
    """Try UTF-8 even without the flag for it, because many programs forget the flag (4.4.4, bit 11; appendix D)."""
    try:
        return header.name.decode()
    except UnicodeDecodeError:
        if header.flags & _UTF8:
            raise EntryError("name_not_utf8", "The file's name is not UTF-8, as the archive says it is.") from None
        return header.name.decode("cp437")


def _content_position(content: BinaryIO, position: int) -> int:
    content.seek(max(0, position))
    local = content.read(_LOCAL.size)
    if len(local) < _LOCAL.size or not local.startswith(b"PK\3\4"):
        raise _damaged()
    name_length, extra_length = _LOCAL.unpack(local)[-2:]
    return int(position + _LOCAL.size + name_length + extra_length)


def _unpack(content: BinaryIO, header: _Header) -> bytes:
    """Unpack at most the size that the directory states, which is within the limits."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if header.method == _DEFLATED else None
    parts: list[bytes] = []
    missing, left = header.size, header.compressed_size
    while left > 0 and missing >= 0 and (chunk := content.read(min(left, _CHUNK_BYTES))):
        left -= len(chunk)
        try:
            part = inflater.decompress(chunk, missing + 1) if inflater else chunk
        except zlib.error:
            raise _damaged() from None
        missing -= len(part)
        parts.append(part)
    data = b"".join(parts)
    if missing or zlib.crc32(data) != header.crc:
        raise _damaged()
    return data


def _damaged() -> EntryError:
    return EntryError("damaged_file", "The archive is damaged at this file. Pack it again.")


def _headers(source: Source, directory: _Directory) -> Iterator[_Header]:
    stream = source.stream()
    stream.seek(directory.position)
    left = directory.size
    while left > 0:
        fixed = stream.read(_HEADER.size)
        if len(fixed) < _HEADER.size or not fixed.startswith(b"PK\1\2"):
            raise UnreadableArchiveError("its central directory is damaged.")
        found = _HEADER.unpack(fixed)
        made_by, flags, method, crc = found[1], found[3], found[4], found[7]
        lengths = found[10:13]
        name, extra, _ = (stream.read(length) for length in lengths)
        left -= _HEADER.size + sum(lengths)
        size, compressed_size, position = _with_zip64(extra, [found[9], found[8], found[16]])
        mode = found[15] >> 16 if made_by >> 8 == _UNIX else 0
        in_utf8 = _unicode_name(extra, name)
        flags |= _UTF8 if in_utf8 else 0
        yield _Header(flags, method, crc, compressed_size, size, mode, position, in_utf8 or name)


def _unicode_name(extra: bytes, name: bytes) -> bytes:
    """Return the name in UTF-8, if the header also has it, and if it belongs to this name."""
    for field in _fields(extra, _UNICODE_NAME):
        if field[:5] == struct.pack("<BL", 1, zlib.crc32(name)):
            return field[5:]
    return b""


def _with_zip64(extra: bytes, values: list[int]) -> list[int]:
    """Return the values, with those of 4.5.3 in place of values that the header has no room for."""
    for field in _fields(extra, 1):
        numbers = iter(struct.unpack(f"<{len(field) // 8}Q", field[: len(field) // 8 * 8]))
        return [next(numbers, value) if value == _IN_ZIP64 else value for value in values]
    return values


def _fields(extra: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the extra fields of one kind (4.5.1)."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<2H", extra[:4])
        if kind == wanted:
            yield extra[4 : 4 + length]
        extra = extra[4 + length :]


def _find_end(source: Source) -> int | None:
    """Find the last record whose comment ends with the file, or the last record if something follows the archive."""
    begin = max(0, source.size - _END.size - _MAX_COMMENT_BYTES)
    tail = source.read_at(begin, source.size - begin)
    last = found = tail.rfind(b"PK\5\6", 0, len(tail) - _END.size + 4)
    while found >= 0:
        if found + _END.size + _END.unpack_from(tail, found)[-1] == len(tail):
            return begin + found
        found = tail.rfind(b"PK\5\6", 0, found + 3)
    return None if last < 0 else begin + last


def _find_directory(source: Source) -> _Directory:
    end = _find_end(source)
    if end is None:
        raise UnreadableArchiveError("its end is missing.")
    _, disk, _, _, _, size, position, _ = _END.unpack(source.read_at(end, _END.size))
    before = end
    locator = source.read_at(end - _END64_LOCATOR.size, _END64_LOCATOR.size)
    if len(locator) == _END64_LOCATOR.size and locator.startswith(b"PK\6\7"):
        before = end - _END64_LOCATOR.size - _END64.size
        record = source.read_at(before, _END64.size)
        if len(record) < _END64.size or not record.startswith(b"PK\6\6"):
            raise UnreadableArchiveError("its zip64 record is damaged.")
        *_, size, position = _END64.unpack(record)
    elif disk:
        raise UnreadableArchiveError("it is one of several parts.")
    shift = before - size - position
    if shift < 0:
        raise UnreadableArchiveError("its central directory is damaged.")
    return _Directory(before - size, size, shift)
