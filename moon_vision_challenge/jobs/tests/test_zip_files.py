"""What is special about a zip: names, comments, directories, compressions."""

import io
import stat
import struct
import zipfile
import zlib
from typing import BinaryIO

import pytest

from moon_vision_challenge.jobs.tests.packing import with_flags, with_name, with_size, zip_of
from moon_vision_challenge.jobs.tests.walking import outcome, outcomes, source_of, walk


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


def test_a_name_that_is_not_utf_8_although_the_zip_says_so_is_an_error(file: BinaryIO) -> None:
    archive = zip_of({"grün.jpg": b"x"}).replace("grün".encode(), b"gr\xff\xffn")
    (found,) = outcomes(file, archive).items()
    assert found == ("gr\\xff\\xffn.jpg", "name_not_utf8")


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


@pytest.mark.parametrize("stated", [10, 999, 1001])
def test_a_file_whose_size_is_not_what_the_directory_states_is_damaged(file: BinaryIO, stated: int) -> None:
    assert outcomes(file, with_size(zip_of({"bomb.jpg": bytes(1000)}), stated)) == {"bomb.jpg": "damaged_file"}


@pytest.mark.e2e
def test_zip64_is_read(file: BinaryIO) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.jpg", "w", force_zip64=True) as entry:
        entry.write(b"x")
    with zipfile.ZipFile(buffer, "a") as archive:
        for number in range(70_000):  # more than fit into the 16 bits of the usual end record
            archive.writestr(f"{number}", b"")
    entries = walk(source_of(file, buffer.getvalue()))
    assert outcome(next(entries)) == b"x"
    assert sum(1 for _ in entries) == 70_000
