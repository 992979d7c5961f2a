"""Containers, walked within limits: what is not a sound file is an entry that says why."""

import gzip
import io
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import pytest
from pytest_django import Settings

from moon_vision_challenge.jobs import archives
from moon_vision_challenge.jobs.archives.entries import Entry, distinct, measure
from moon_vision_challenge.jobs.archives.source import Source
from moon_vision_challenge.jobs.errors import EmptyJobError, EntryError, JobTooLargeError, UnreadableArchiveError
from moon_vision_challenge.jobs.tests.packing import tar_of, tar_with, with_flags, with_name, with_size, zip_of

FILES = {"a.jpg": b"first", "folder/b.jpg": b"second" * 50_000, "ü/ñ.jpg": b"third"}


@pytest.fixture
def file() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as opened:
        yield opened


def source_of(file: BinaryIO, data: bytes, before: bytes = b"", after: bytes = b"") -> Source:
    file.write(before + data + after)
    file.flush()
    return Source(file.fileno(), len(before), len(data))


def walk(source: Source) -> Iterator[Entry]:
    container = archives.recognize(source)
    assert container
    return archives.walk(container, source)


def outcome(entry: Entry) -> bytes | str:
    """Its content, or the code of its error."""
    try:
        return entry.read()
    except EntryError as error:
        return error.code


def outcomes(file: BinaryIO, data: bytes) -> dict[str, bytes | str]:
    return {entry.name: outcome(entry) for entry in walk(source_of(file, data))}


PACKED = {
    "zip": zip_of(FILES),
    "zip, stored": zip_of(FILES, zipfile.ZIP_STORED),
    "tar, pax": tar_of(FILES),
    "tar, GNU": tar_of(FILES, tar_format=tarfile.GNU_FORMAT),
    "tar, ustar": tar_of(FILES, tar_format=tarfile.USTAR_FORMAT),
    "tar.gz": tar_of(FILES, "w:gz"),
    "tar.gz in two members": gzip.compress(tar_of(FILES)[:5000]) + gzip.compress(tar_of(FILES)[5000:]),
}


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED)
def test_each_container_gives_its_files_in_order(file: BinaryIO, data: bytes) -> None:
    source = source_of(file, data, before=b"--form", after=b"form--")
    assert [(entry.name, entry.size, entry.read()) for entry in walk(source)] == [
        (name, len(content), content) for name, content in FILES.items()
    ]


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED)
def test_files_need_not_be_read(file: BinaryIO, data: bytes) -> None:
    assert measure(walk(source_of(file, data))) == 3


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED)
def test_a_container_that_is_cut_short_is_refused(file: BinaryIO, data: bytes) -> None:
    source = source_of(file, data[: len(data) // 2])
    container = archives.recognize(source)
    if container:
        with pytest.raises(UnreadableArchiveError):
            list(archives.walk(container, source))


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED)
def test_no_damage_of_a_byte_raises_anything_else(file: BinaryIO, data: bytes) -> None:
    for position in {*range(0, min(700, len(data)), 7), *range(max(0, len(data) - 400), len(data), 3)}:
        file.seek(0)
        file.truncate()
        source = source_of(file, data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :])
        container = archives.recognize(source)
        try:
            for entry in archives.walk(container, source) if container else ():
                outcome(entry)
        except (UnreadableArchiveError, JobTooLargeError):
            pass


UNSAFE = [
    "/etc/passwd",
    "../up.jpg",
    "a/../../b.jpg",
    "C:\\x.jpg",
    "C:x.jpg",
    "\\\\host\\x.jpg",
    "a\\..\\b",
    "a\nb.jpg",
]


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_an_unsafe_name_is_an_entry_with_an_error(file: BinaryIO, name: str, pack: type) -> None:
    (entry,) = walk(source_of(file, pack({name: b"x"})))
    assert outcome(entry) == "unsafe_name"
    assert "\n" not in entry.name


def test_a_name_that_begins_with_the_folder_itself_is_safe(file: BinaryIO) -> None:
    assert outcomes(file, tar_of({"./a.jpg": b"x", "..jpg": b"y"})) == {"a.jpg": b"x", "..jpg": b"y"}


def test_a_name_that_is_too_long_is_shown_in_part(file: BinaryIO) -> None:
    (entry,) = walk(source_of(file, tar_of({"n" * 3000: b"x"})))
    assert (outcome(entry), len(entry.name)) == ("name_too_long", 500)


def test_what_systems_add_and_folders_are_skipped(file: BinaryIO) -> None:
    files = {"__MACOSX/._a.jpg": b"x", "f/.DS_Store": b"x", "Thumbs.db": b"x", "f/": b"", "f/a.jpg": b"y"}
    assert outcomes(file, zip_of(files)) == {"f/a.jpg": b"y"}


def test_a_name_in_utf_8_needs_no_flag_and_one_in_cp437_is_read(file: BinaryIO) -> None:
    archive = zip_of({"grün.jpg": b"x"})
    assert outcomes(file, with_flags(archive, 0)) == {"grün.jpg": b"x"}


def test_a_name_in_another_encoding_is_read_from_its_unicode_field(file: BinaryIO) -> None:
    local = "写真.jpg".encode("cp932")
    field = struct.pack("<BL", 1, zlib.crc32(local)) + "写真.jpg".encode()
    assert outcomes(file, with_name(b"x", local, field)) == {"写真.jpg": b"x"}


@pytest.mark.parametrize(
    "field", [b"", b"\1", struct.pack("<BL", 1, 7) + b"other", struct.pack("<BL", 2, zlib.crc32(b"a.jpg")) + b"other"]
)
def test_a_unicode_field_of_another_name_is_ignored(file: BinaryIO, field: bytes) -> None:
    assert outcomes(file, with_name(b"x", b"a.jpg", field)) == {"a.jpg": b"x"}


def test_a_unicode_field_is_as_safe_as_a_name(file: BinaryIO) -> None:
    field = struct.pack("<BL", 1, zlib.crc32(b"a.jpg"))
    assert outcomes(file, with_name(b"x", b"a.jpg", field + b"../a.jpg")) == {"../a.jpg": "unsafe_name"}


@pytest.mark.parametrize("comment", [b"PK\5\6" + bytes(60), b"PK\5\6" * 5000, b"c" * 65_535])
def test_a_comment_is_not_taken_for_the_end(file: BinaryIO, comment: bytes) -> None:
    data = zip_of({"a.jpg": b"x"})[:-2] + struct.pack("<H", len(comment)) + comment
    assert outcomes(file, data) == {"a.jpg": b"x"}


def test_a_zip_with_something_behind_it_is_read(file: BinaryIO) -> None:
    assert outcomes(file, zip_of({"a.jpg": b"x"}) + bytes(100)) == {"a.jpg": b"x"}


@pytest.mark.parametrize("kind", [b"V", b"D"])
def test_labels_and_lists_of_folders_in_a_tar_are_no_files(file: BinaryIO, kind: bytes) -> None:
    info = tarfile.TarInfo("label")
    info.type = kind
    assert outcomes(file, info.tobuf() + tar_of({"a.jpg": b"x"})) == {"a.jpg": b"x"}


def test_a_name_that_is_not_utf_8_although_the_zip_says_so_is_an_error(file: BinaryIO) -> None:
    archive = zip_of({"grün.jpg": b"x"}).replace("grün".encode(), b"gr\xff\xffn")
    (found,) = outcomes(file, archive).items()
    assert found == ("gr\\xff\\xffn.jpg", "name_not_utf8")


def test_a_name_of_a_tar_that_is_not_utf_8_is_an_error(file: BinaryIO) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        tar.addfile(tarfile.TarInfo("grün.jpg"))
    assert outcomes(file, archive.getvalue()) == {"gr\\xfcn.jpg": "name_not_utf8"}


def test_an_encrypted_file_is_an_error(file: BinaryIO) -> None:
    assert outcomes(file, with_flags(zip_of({"a.jpg": b"x"}), 0x801)) == {"a.jpg": "encrypted_file"}


def test_a_file_in_another_compression_is_an_error(file: BinaryIO) -> None:
    assert outcomes(file, zip_of({"a.jpg": b"x"}, zipfile.ZIP_BZIP2)) == {"a.jpg": "unsupported_compression"}


def test_a_symbolic_link_in_a_zip_is_an_error(file: BinaryIO) -> None:
    link = zipfile.ZipInfo("a.jpg")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert outcomes(file, buffer.getvalue()) == {"a.jpg": "not_a_file"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_a_device_in_a_tar_is_an_error(file: BinaryIO, kind: bytes) -> None:
    info = tarfile.TarInfo("a.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    assert outcomes(file, tar_with(info)) == {"a.jpg": "not_a_file"}


def test_an_empty_file_is_an_error(file: BinaryIO) -> None:
    assert outcomes(file, zip_of({"a.jpg": b""})) == {"a.jpg": "empty_file"}


def test_the_later_one_of_two_equal_names_is_an_error(file: BinaryIO) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for data in (b"1", b"2"):
            info = tarfile.TarInfo("a.jpg")
            info.size = 1
            archive.addfile(info, io.BytesIO(data))
    entries = distinct(walk(source_of(file, buffer.getvalue())))
    assert [outcome(entry) for entry in entries] == [b"1", "duplicate_name"]


def test_a_file_above_the_limit_is_an_error_and_is_not_unpacked(file: BinaryIO, settings: Settings) -> None:
    settings.INFERENCE_MAX_IMAGE_BYTES = 1000
    found = outcomes(file, zip_of({"bomb.jpg": bytes(1001), "a.jpg": bytes(1000)}))
    assert found == {"bomb.jpg": "file_too_large", "a.jpg": bytes(1000)}


@pytest.mark.parametrize("stated", [10, 999, 1001])
def test_a_file_whose_size_is_not_what_the_directory_states_is_damaged(file: BinaryIO, stated: int) -> None:
    assert outcomes(file, with_size(zip_of({"bomb.jpg": bytes(1000)}), stated)) == {"bomb.jpg": "damaged_file"}


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED)
def test_all_files_together_are_limited(file: BinaryIO, data: bytes, settings: Settings) -> None:
    settings.JOB_MAX_UNPACKED_BYTES = 300_000
    with pytest.raises(JobTooLargeError):
        measure(walk(source_of(file, data)))


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED)
def test_the_number_of_files_is_limited(file: BinaryIO, data: bytes, settings: Settings) -> None:
    settings.JOB_MAX_ITEMS = 2
    with pytest.raises(JobTooLargeError):
        measure(walk(source_of(file, data)))


def test_a_tar_of_zeros_that_expands_a_thousandfold_ends_at_the_limit(file: BinaryIO, settings: Settings) -> None:
    settings.JOB_MAX_UNPACKED_BYTES, settings.JOB_MAX_ITEMS = 10_000_000, 10
    bomb = tarfile.TarInfo("a.jpg")
    bomb.size = 2**36
    with pytest.raises(JobTooLargeError):
        measure(walk(source_of(file, gzip.compress(bomb.tobuf() + bytes(100_000_000)))))


def test_very_many_gzip_members_are_too_many(file: BinaryIO, settings: Settings) -> None:
    """Each takes microseconds, and a body has room for millions of empty ones, which unpack to nothing."""
    settings.JOB_MAX_ITEMS = 50
    with pytest.raises(JobTooLargeError):
        list(walk(source_of(file, gzip.compress(b"", mtime=0) * 51 + tar_of(FILES, "w:gz"))))


@pytest.mark.parametrize("size", [1, 100, 512, 5000])
def test_a_compressed_tar_may_have_members_of_any_size_and_zeros_between_them(file: BinaryIO, size: int) -> None:
    data = tar_of({"a.jpg": b"first", "b.jpg": b"second" * 500})
    members = [gzip.compress(data[at : at + size], mtime=0) + bytes(at % 3) for at in range(0, len(data), size)]
    found = outcomes(file, b"".join(members) + bytes(100_000))
    assert found == {"a.jpg": b"first", "b.jpg": b"second" * 500}


def test_a_compressed_tar_that_ends_in_other_data_is_damaged(file: BinaryIO) -> None:
    with pytest.raises(UnreadableArchiveError):
        outcomes(file, tar_of(FILES, "w:gz") + b"rubbish")


@pytest.mark.parametrize("data", [zip_of({}), tar_of({}, "w:gz"), zip_of({"f/": b""}), tar_of({})])
def test_an_empty_archive_is_refused(file: BinaryIO, data: bytes) -> None:
    with pytest.raises(EmptyJobError):
        measure(walk(source_of(file, data)))


@pytest.mark.parametrize("data", [b"", b"PK", b"\xff\xd8\xff" + bytes(600), b"\x1f\x8b"])
def test_what_is_not_an_archive_is_refused(file: BinaryIO, data: bytes) -> None:
    source = source_of(file, data)
    container = archives.recognize(source)
    if container:
        with pytest.raises(UnreadableArchiveError):
            list(archives.walk(container, source))


def test_zip64_is_read(file: BinaryIO) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.jpg", "w", force_zip64=True) as entry:
        entry.write(b"x")
    with zipfile.ZipFile(buffer, "a") as archive:
        for number in range(70_000):  # more than the 16 bits of the usual end record
            archive.writestr(f"{number}", b"")
    entries = walk(source_of(file, buffer.getvalue()))
    assert outcome(next(entries)) == b"x"
    assert sum(1 for _ in entries) == 70_000


def test_what_is_freed_reads_as_zeros_and_the_rest_is_kept(file: BinaryIO) -> None:
    source = source_of(file, tar_of({"a.jpg": bytes([1]) * 100_000, "b.jpg": b"kept"}))
    entries = walk(source)
    first = next(entries)
    assert first.read() == bytes([1]) * 100_000
    assert first.stored
    source.free(*first.stored)
    assert next(entries).read() == b"kept"
    assert [outcome(entry) for entry in walk(source)] == [bytes(100_000), b"kept"]
