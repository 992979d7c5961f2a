"""On any bytes, the scanners end soon and raise only client errors."""

import io
import random
import time
from collections.abc import Callable
from contextlib import suppress
from unittest.mock import Mock, patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from chaos.corpus import CASES, Case, Verdict, png_chunks, sound, tiff_strips, webp_frames
from chaos.corpus.jpeg import markers_before_a_segment
from chaos.corpus.png import after_header
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.exceptions import (
    ImageTooExpensiveError,
    InvalidImageError,
    UnsupportedFormatError,
)
from moon_vision_challenge.classification.images import bmp, exif, gif, iso_media, jpeg, png, tiff, webp
from moon_vision_challenge.classification.images.structure import PartCounter, Structure
from moon_vision_challenge.classification.tests.corpus import in_tiers

SCANNERS: dict[str, tuple[bytes, Callable[[bytes, PartCounter], Structure]]] = {
    "JPEG": (b"\xff\xd8\xff", jpeg.scan),
    "PNG": (b"\x89PNG\r\n\x1a\n", png.scan),
    "GIF": (b"GIF89a", gif.scan),
    "WebP": (b"RIFF", webp.scan),
    "BMP": (b"BM", bmp.scan),
    "TIFF": (b"II*\0", tiff.scan),
    "AVIF": (b"\0\0\0\x10ftypavif", iso_media.scan_avif),
}
SEEDS = [case.make() for case in sound.CASES]


class CountingCounter(PartCounter):
    calls = 0

    def take(self, count: int = 1) -> None:
        self.calls += 1
        super().take(count)


def scan(data: bytes) -> None:
    with suppress(InvalidImageError):
        images.open_image(data)


@pytest.mark.parametrize("name", SCANNERS)
@settings(max_examples=200, deadline=None)
@given(rest=st.binary(max_size=400))
def test_any_bytes_behind_a_signature_are_an_image_or_a_clients_error(name: str, rest: bytes) -> None:
    scan(SCANNERS[name][0] + rest)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.integers(0, 999), st.binary(max_size=8)), min_size=1, max_size=8),
)
def test_an_altered_image_is_an_image_or_a_clients_error(seed: bytes, edits: list[tuple[int, bytes]]) -> None:
    data = bytearray(seed)
    for at, content in edits:
        data[at : at + len(content)] = content
    scan(bytes(data))


@pytest.mark.parametrize("case", in_tiers([case for case in CASES if case.verdict == Verdict.TOO_EXPENSIVE]))
def test_a_scan_ends_at_the_limit_of_parts(case: Case) -> None:
    data = case.make()
    name = {"RIFF": "WebP", "II*\0": "TIFF", "BM": "BMP"}.get(data[:4].decode("latin1"), "")
    name = name or next((name for name, (start, _) in SCANNERS.items() if data.startswith(start)), "AVIF")
    counter = CountingCounter(1000)
    with suppress(InvalidImageError):
        SCANNERS[name][1](data, counter)
    assert counter.calls <= 2 * 1001  # a GIF's blocks and their sub-blocks are counted


def test_a_text_of_many_comments_is_told_from_a_drawing_at_once() -> None:
    before = time.process_time()
    with pytest.raises(UnsupportedFormatError):
        images.open_image(b"<!---->" * 26)
    assert time.process_time() - before < 1  # trying 2^26 ways to read the comments took 8 s


@pytest.mark.parametrize("text", [png_chunks.compressed_profile(), png_chunks.compressed_xmp()])
def test_few_compressed_texts_are_searched_for_an_orientation(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    inflate = Mock(return_value=b"")
    monkeypatch.setattr(exif, "inflate", inflate)
    assert images.open_image(after_header(text * 1000)).structure.orientation == 1
    assert inflate.call_count == 16


def test_markers_without_a_length_are_skipped_at_once() -> None:
    plain, marked = (markers_before_a_segment(0xD0, count) for count in (0, 100_000))
    search = Mock(wraps=jpeg._MARKER.search)
    with patch.object(jpeg, "_MARKER", Mock(search=search)):
        kept = [b"".join(images.open_image(data).structure.parts or (data,)) for data in (plain, marked)]
    assert kept[0] == kept[1]
    assert search.call_count < 100


@pytest.mark.parametrize(
    ("side", "are_large", "is_isolated"), [(320, False, False), (320, True, True), (120, True, False)]
)
def test_a_webp_with_large_tables_is_decoded_in_the_decoder_process(
    side: int, are_large: bool, is_isolated: bool
) -> None:
    image = images.open_image(webp_frames.many_code_groups(side, are_large=are_large))
    assert image.structure.is_isolated is is_isolated


def test_overlapping_jpegs_are_scanned_only_until_they_cost_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scan = Mock(wraps=jpeg.scan)
    monkeypatch.setattr(jpeg, "scan", scan)
    with pytest.raises(ImageTooExpensiveError):
        images.open_image(tiff_strips.overlapping_jpegs(2000, 9_000_000))
    assert scan.call_count < 50


def test_an_altered_image_gets_the_same_verdict_at_every_scale() -> None:
    chance = random.Random(7)
    verdicts: set[str] = set()
    for _ in range(1500):
        data = bytearray(chance.choice(SEEDS))
        if not data.startswith((b"\xff\xd8", b"\x89P", b"GI", b"BM")):
            continue
        for _ in range(chance.choice((1, 2, 8))):
            data[chance.randrange(min(len(data), chance.choice((64, 700, 10**9))))] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        found = {verdict(bytes(data), min_side) for min_side in (None, 1, 512)}
        assert len(found) == 1
        verdicts |= found
    assert {"sound", "DamagedImageError", "TruncatedImageError"} <= verdicts


def verdict(data: bytes, min_side: int | None) -> str:
    try:
        images.open_image(data).decode(min_side=min_side).close()
    except InvalidImageError as error:
        return type(error).__name__
    return "sound"


DEEP = ("PNG, I;16", "TIFF, I;16", "TIFF, I", "TIFF, F")
"""Pillow clips them. test_images.py tests their rule."""


@pytest.mark.parametrize(
    "case", [case for case in sound.CASES if not case.name.endswith(DEEP)], ids=lambda case: case.name
)
def test_a_sound_image_has_the_pixels_that_pillow_gives(case: Case) -> None:
    data = case.make()
    image = images.open_image(data).decode()
    with Image.open(io.BytesIO(data)) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB")
    assert (image.size, image.tobytes()) == (expected.size, expected.tobytes())


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_metadata_are_not_handed_to_the_decoder(name: str) -> None:
    data = sound.turned(name, 6)
    image = images.open_image(data)
    assert image.structure.parts is not None
    kept = b"".join(image.structure.parts)
    assert len(kept) < len(data)
    assert image.structure.orientation == 6
