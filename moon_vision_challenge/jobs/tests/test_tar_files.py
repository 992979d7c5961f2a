"""What is special about a tar: kinds of entries, names, and the members of its compression."""

import gzip
import io
import tarfile
from typing import BinaryIO

import pytest
from pytest_django import Settings

from moon_vision_challenge.jobs.archives.entries import measure
from moon_vision_challenge.jobs.errors import JobTooLargeError, UnreadableArchiveError
from moon_vision_challenge.jobs.tests.packing import tar_of, tar_with
from moon_vision_challenge.jobs.tests.walking import FILES, outcomes, source_of, walk


@pytest.mark.parametrize("kind", [b"V", b"D"])
def test_labels_and_lists_of_folders_in_a_tar_are_no_files(file: BinaryIO, kind: bytes) -> None:
    info = tarfile.TarInfo("label")
    info.type = kind
    assert outcomes(file, info.tobuf() + tar_of({"a.jpg": b"x"})) == {"a.jpg": b"x"}


def test_a_name_of_a_tar_that_is_not_utf_8_is_an_error(file: BinaryIO) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        tar.addfile(tarfile.TarInfo("grün.jpg"))
    assert outcomes(file, archive.getvalue()) == {"gr\\xfcn.jpg": "name_not_utf8"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_a_device_in_a_tar_is_an_error(file: BinaryIO, kind: bytes) -> None:
    info = tarfile.TarInfo("a.jpg")
    info.type, info.linkname = kind, "/etc/passwd"
    assert outcomes(file, tar_with(info)) == {"a.jpg": "not_a_file"}


def test_a_tar_of_zeros_that_expands_a_thousandfold_ends_at_the_limit(file: BinaryIO, settings: Settings) -> None:
    settings.JOB_MAX_UNPACKED_BYTES, settings.JOB_MAX_ITEMS = 10_000_000, 10
    bomb = tarfile.TarInfo("a.jpg")
    bomb.size = 2**36
    with pytest.raises(JobTooLargeError):
        measure(walk(source_of(file, gzip.compress(bomb.tobuf() + bytes(100_000_000)))))


def test_very_many_gzip_members_are_too_many(file: BinaryIO, settings: Settings) -> None:
    """Each member takes microseconds, and a body has room for millions of empty ones, which unpack to nothing."""
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
