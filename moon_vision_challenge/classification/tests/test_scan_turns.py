"""A long scan of a file's structure pauses, so that other threads get the interpreter meanwhile."""

import itertools
from types import SimpleNamespace

import pytest

from chaos.corpus import gif, iso_items, iso_media, jpeg, png, png_chunks, webp
from chaos.corpus.case import encode, photo
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.images import structure

PARTS = 9000
BYTES = 9_000_000
ENOUGH = 200
"""The minimum number of pauses: one for each 45 parts, or for each 45 kB that are searched."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of a scan. Each reading of its clock is a second later."""
    found: list[float] = []
    clock = SimpleNamespace(perf_counter=itertools.count().__next__, sleep=found.append)
    monkeypatch.setattr(structure, "time", clock)
    return found


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(jpeg.after_start(b"\xff\xe1\0\2" * PARTS), id="segments"),
        pytest.param(jpeg.after_start(b"\xff" * BYTES), id="fill bytes before a segment"),
        pytest.param(jpeg.before_end(b"\xff" * BYTES, progressive=True), id="fill bytes after a scan"),
        pytest.param(png.after_header(png.chunk(b"prVt") * PARTS), id="chunks"),
        pytest.param(png_chunks.empty_pixel_chunks(PARTS, where=1), id="chunks of pixels"),
        pytest.param(gif.before_image(b"!\xfe\0" * PARTS), id="comments"),
        pytest.param(webp.with_metadata(*[webp.chunk(b"prVt", b"")] * PARTS), id="RIFF chunks"),
        pytest.param(
            iso_items.enlarged(encode(photo(), "AVIF", speed=10), b"ipco", iso_media.box(b"free") * PARTS), id="boxes"
        ),
    ],
)
def test_a_scan_of_many_parts_pauses(data: bytes, pauses: list[float]) -> None:
    images.open_image(data)
    assert len(pauses) >= ENOUGH


def test_a_scan_of_a_photo_does_not_pause(pauses: list[float]) -> None:
    images.open_image(encode(photo(), "JPEG"))
    assert len(pauses) <= 1


def test_all_pixels_of_a_png_are_one_part() -> None:
    """Freeing a hundred thousand parts takes 80 ms in one go."""
    parts = images.open_image(png_chunks.empty_pixel_chunks(PARTS, where=1)).structure.parts
    assert parts is not None
    assert len(parts) < 10
