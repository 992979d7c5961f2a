"""The maximum cost of decoding: no accepted image takes over 1.5 times the CPU time of the most expensive valid one.

All limits are a tenth of their defaults, and so are the images. CPU times are compared within one run, and each is the
shortest of several, so that other work on the machine does not change the verdict.
"""

import io
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pillow_heif
import pytest
from PIL import AvifImagePlugin, Image
from pytest_django import Settings

from chaos.corpus import (
    bmp_runs,
    gif,
    gif_frames,
    iso_items,
    iso_media,
    jpeg,
    png,
    png_chunks,
    tiff,
    tiff_strips,
    webp,
    webp_frames,
)
from chaos.corpus.case import encode, photo
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.exceptions import ImageTooExpensiveError
from moon_vision_challenge.classification.images import pixels

pytestmark = pytest.mark.e2e

SCALE = 10
MAX_RATIO = 1.5
TURNS = 5

Make = Callable[[], bytes]


@pytest.fixture(autouse=True)
def _tenth_of_the_limits(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BYTES", "PIXELS", "PARTS"):
        setattr(settings, f"INFERENCE_MAX_IMAGE_{name}", getattr(settings, f"INFERENCE_MAX_IMAGE_{name}") // SCALE)
    settings.INFERENCE_MAX_DECODE_CPU_S /= SCALE
    settings.INFERENCE_MAX_DECODE_BYTES //= SCALE
    # Same as in a decoder process.
    monkeypatch.setitem(pixels.PLUGINS, "HEIC", pillow_heif.HeifImageFile)
    monkeypatch.setattr(AvifImagePlugin, "DEFAULT_MAX_THREADS", 1)
    monkeypatch.setattr(pillow_heif.options, "DECODE_THREADS", 1)


def noisy(width: int, height: int, share: float) -> Image.Image:
    noise = Image.merge("RGB", [Image.effect_noise((width, height), 60)] * 3)
    return Image.blend(photo(width, height), noise, share)


def twelve_bits(side: int) -> bytes:
    levels = (np.asarray(photo(side, side, "RGBA")).reshape(side, -1).astype(np.uint16) << 4).astype(">u2")
    return png.from_rows(side, side, 16, 6, levels.view(np.uint8))


def heic(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(noisy(width, height, 0.02)).save(buffer, quality=60)
    return buffer.getvalue()


def scans_within_the_limit(refinement: bytes) -> bytes:
    """Return a JPEG with as many empty scans as are accepted. By its header, each adds the bits `refinement`."""
    for count in range(400, 1, -10):
        data = jpeg.empty_scans(count, 2500, 1900).replace(b"\1\1\0\1\x3f\0", b"\1\1\0\1\x3f" + refinement)
        try:
            images.open_image(data)
        except ImageTooExpensiveError:
            continue
        return data
    raise AssertionError("the limit is too low")


KINDS: dict[str, tuple[dict[str, Make], dict[str, Make]]] = {
    "JPEG": (
        {
            "progressive": lambda: encode(noisy(2500, 1900, 0.05), "JPEG", quality=90, progressive=True),
            "progressive, 4:4:4": lambda: encode(
                noisy(2300, 1700, 0.05), "JPEG", quality=85, progressive=True, subsampling=0
            ),
        },
        {
            "empty scans": lambda: scans_within_the_limit(b"\0"),
            "empty scans that refine": lambda: scans_within_the_limit(b"\x10"),
            "one scan": partial(jpeg.empty_scans, 1, 2500, 1900),
            "fill bytes": lambda: jpeg.before_end(b"\xff" * 1_900_000, progressive=True),
        },
    ),
    "PNG": (
        {
            "12 bits in 16": partial(twelve_bits, 1750),
            "RGBA": lambda: encode(photo(2400, 1900, "RGBA"), "PNG", compress_level=1),
        },
        {
            "colours of 16 bits": partial(png_chunks.filtered, 1700, 1700, 16, 6),
            "colours of 16 bits, interlaced": partial(png_chunks.filtered, 1550, 1550, 16, 6, is_interlaced=True),
            "colours of 8 bits, interlaced": partial(png_chunks.filtered, 2500, 1900, 8, 6, is_interlaced=True),
            "dynamic blocks": partial(png_chunks.dynamic_blocks, 1_900_000),
            "empty chunks": partial(png_chunks.empty_pixel_chunks, 9000, where=1),
        },
    ),
    "GIF": (
        {"256 colours": lambda: encode(noisy(2500, 1900, 0.01).quantize(64, dither=Image.Dither.NONE), "GIF")},
        {
            "long strings": partial(gif_frames.long_strings, 2200, 2200),
            "clear codes": partial(gif.clear_codes, 1_500_000),
            "large screen": lambda: gif.screen(2200, 2200) + gif.before_image(b"")[len(gif.screen(64, 64)) :],
        },
    ),
    "WebP": (
        {
            "lossy": lambda: encode(noisy(1700, 1400, 0.2), "WEBP", quality=85, method=0),
            "lossless": lambda: encode(noisy(1700, 1400, 0.01), "WEBP", lossless=True, quality=0, method=0),
        },
        {
            "one colour": partial(webp.flat, 1700, 1400),
            "groups of codes": partial(webp_frames.many_code_groups, 320),
            "large canvas": partial(webp.animation, 1, (1700, 1400)),
        },
    ),
    "BMP": (
        {
            "24 bits": lambda: encode(photo(900, 700), "BMP"),
            "dithered": partial(bmp_runs.dithered, 1300, 750),
            "noise": partial(bmp_runs.absolute, 254 * 5, 1400, 8),
        },
        {
            "rows that end early": partial(bmp_runs.early_ends, 2200, 2200),
            "deltas": partial(bmp_runs.deltas, 2200, 2200, right=0, up=1, count=2200),
        },
    ),
    "TIFF": (
        {"LZMA": lambda: encode(noisy(1000, 800, 0.02), "TIFF", compression="lzma")},
        {
            "LZW": partial(tiff_strips.lzw_bomb, 2000, 2000),
            "Deflate": partial(tiff_strips.deflate_bomb, 2000, 2000),
            "strips of one row": partial(tiff.many_strips, 6000, 6000),
            "strips of JPEGs": lambda: tiff_strips.jpeg_strips(encode(photo(16, 8, "L"), "JPEG"), 16, 8, 1200),
        },
    ),
    "AVIF": (
        {"4:2:0": lambda: encode(noisy(1600, 1200, 0.03), "AVIF", speed=10, quality=80)},
        {
            "properties": lambda: iso_items.enlarged(
                encode(photo(), "AVIF", speed=10), b"ipco", iso_media.box(b"free") * 9000
            )
        },
    ),
    "HEIC": ({"4:2:0": partial(heic, 1600, 1200)}, {"grid": partial(iso_items.grid_of_itself, 12, 12, 768, 768)}),
}


def cpu_s(data: bytes) -> float:
    """Return the CPU time of an image in this process, including what the decoder process would do."""
    start = time.process_time()
    image = images.open_image(data)
    parts = b"".join(image.structure.parts or (data,))
    size = image.size[0] * image.size[1]
    pixels.decode(parts, pixels.Request(image.format, size, image.structure.orientation, None)).close()
    return time.process_time() - start


@pytest.mark.parametrize("name", KINDS)
def test_no_accepted_image_costs_much_more_than_the_dearest_sound_one(name: str) -> None:
    sound, hostile = ({kind: make() for kind, make in group.items()} for group in KINDS[name])
    turns = [{kind: cpu_s(data) for kind, data in (sound | hostile).items()} for _ in range(TURNS)]
    least = {kind: min(turn[kind] for turn in turns) for kind in turns[0]}
    limit = MAX_RATIO * max(least[kind] for kind in sound)
    assert {kind: seconds for kind, seconds in least.items() if seconds > limit} == {}, least
