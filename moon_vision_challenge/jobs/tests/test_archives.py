"""Containers are walked within limits. An entry that is not a valid file says why."""

import gzip
import io
import tarfile
import zipfile
from typing import BinaryIO

import pytest
from pytest_django import Settings

from moon_vision_challenge.jobs import archives
from moon_vision_challenge.jobs.archives.entries import distinct, measure
from moon_vision_challenge.jobs.errors import EmptyJobError, JobTooLargeError, UnreadableArchiveError
from moon_vision_challenge.jobs.tests.packing import tar_of, zip_of
from moon_vision_challenge.jobs.tests.walking import FILES, outcome, outcomes, source_of, walk

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


def test_what_is_freed_reads_as_zeros_and_the_rest_is_kept(file: BinaryIO) -> None:
    source = source_of(file, tar_of({"a.jpg": bytes([1]) * 100_000, "b.jpg": b"kept"}))
    entries = walk(source)
    first = next(entries)
    assert first.read() == bytes([1]) * 100_000
    assert first.stored
    source.free(*first.stored)
    assert next(entries).read() == b"kept"
    assert [outcome(entry) for entry in walk(source)] == [bytes(100_000), b"kept"]
