"""Pictures of any depth, layout, and alpha: the result is what NumPy computes by the rule of images/deep.py, or the
kind is refused by name. It is never another picture."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from moon_vision_challenge.classification.exceptions import UnsupportedFormatError
from moon_vision_challenge.classification.images import open_image

HEIGHT, WIDTH = 20, 31
ROWS, COLUMNS = np.mgrid[0:HEIGHT, 0:WIDTH]
SHADES = [COLUMNS / (WIDTH - 1), ROWS / (HEIGHT - 1), (COLUMNS + ROWS) / (WIDTH + HEIGHT - 2)]

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK = 0, 1, 2, 5
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
UNSPECIFIED, PREMULTIPLIED, ALPHA = 0, 1, 2
ENDS = [255, 1023, 4095, 16383, 65535]


class Kind(NamedTuple):
    """How a TIFF stores its pixels."""

    photometric: int
    bits: int = 16
    sample: int = UNSIGNED
    extra: tuple[int, ...] = ()
    planes: bool = False
    order: str = "<"
    packed: bool = False


def tiff(channels: list[np.ndarray], kind: Kind) -> bytes:
    letter = {UNSIGNED: "u", SIGNED: "i", FLOAT: "f"}[kind.sample]
    dtype = np.dtype(f"{kind.order}{letter}{kind.bits // 8}")
    strips = [one.astype(dtype).tobytes() for one in channels]
    if not kind.planes:
        strips = [np.stack(channels, axis=-1).astype(dtype).tobytes()]
    if kind.packed:
        strips = [zlib.compress(strip) for strip in strips]
    strips = [strip + b"\0" * (len(strip) % 2) for strip in strips]
    starts = [8 + sum(map(len, strips[:index])) for index in range(len(strips))]
    count = len(channels)
    tags = {
        256: [WIDTH], 257: [HEIGHT], 258: [kind.bits] * count, 259: [8 if kind.packed else 1], 262: [kind.photometric],
        273: starts, 277: [count], 278: [HEIGHT], 279: [len(one) for one in strips], 284: [2 if kind.planes else 1],
        **({338: list(kind.extra)} if kind.extra else {}), 339: [kind.sample] * count,
    }  # fmt: skip
    directory, more = struct.pack(f"{kind.order}H", len(tags)), b""
    end = starts[-1] + len(strips[-1])
    after = end + 2 + 12 * len(tags) + 4
    for tag, values in tags.items():
        value = struct.pack(f"{kind.order}{len(values)}I", *values)
        if len(value) > 4:
            value, more = struct.pack(f"{kind.order}I", after + len(more)), more + value
        directory += struct.pack(f"{kind.order}HHI", tag, 4, len(values)) + value
    head = (b"II*\0" if kind.order == "<" else b"MM\0*") + struct.pack(f"{kind.order}I", end)
    return head + b"".join(strips) + directory + bytes(4) + more


def png(channels: list[np.ndarray], color: int, *, interlaced: bool = False) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = np.stack(channels, axis=-1).astype(">u2")
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [pixels[y::dy, x::dx] for y, x, dy, dx in passes] if interlaced else [pixels]
    rows = b"".join(b"\0" + row.tobytes() for part in parts for row in part if row.size)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, color, 0, 0, interlaced)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def scaled(white: int, count: int = 3) -> list[np.ndarray]:
    return [np.rint(shade * white).astype(np.int64) for shade in SHADES[:count]]


def by_the_rule(channels: list[np.ndarray]) -> np.ndarray:
    """Convert unsigned integers: white is the largest value of the fewest bits that hold all values."""
    highest = max(int(one.max()) for one in channels)
    bits = next(bits for bits in (8, 10, 12, 14, 16) if highest < 1 << bits)
    shown = [one >> (bits - 8) for one in channels]
    return np.stack(shown if len(shown) == 3 else shown * 3, axis=-1)


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(open_image(data).decode()).astype(int)


STORAGE = [
    {"order": order, "packed": packed, "planes": planes}
    for order in "<>"
    for packed in (False, True)
    for planes in (False, True)
]


def check(data: bytes, expected: np.ndarray, *, may_be_refused: bool = False) -> None:
    if may_be_refused:
        with suppress_refusal():
            np.testing.assert_allclose(decoded(data), expected, atol=1)
    else:
        np.testing.assert_allclose(decoded(data), expected, atol=1)


@contextmanager
def suppress_refusal() -> Iterator[None]:
    """Allow a refusal that says what to do."""
    refused = ""
    try:
        yield
    except UnsupportedFormatError as error:
        refused = error.detail
    assert not refused or "not accepted. Save" in refused or "Save it with 8 bits" in refused


@pytest.mark.parametrize("white", ENDS)
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_png_of_16_bits_follows_the_rule(white: int, interlaced: bool) -> None:
    grey, colors = scaled(white, 1), scaled(white)
    for alpha in (np.zeros_like(grey[0]), np.full_like(grey[0], 65535), ROWS * 3000):
        check(png([*grey, alpha], 4, interlaced=interlaced), by_the_rule(grey))
        check(png([*colors, alpha], 6, interlaced=interlaced), by_the_rule(colors))
    check(png(grey, 0, interlaced=interlaced), by_the_rule(grey))
    check(png(colors, 2, interlaced=interlaced), by_the_rule(colors))


@pytest.mark.parametrize("white", ENDS)
@pytest.mark.parametrize("storage", STORAGE, ids=lambda storage: "-".join(map(str, storage.values())))
def test_a_tiff_of_16_bits_follows_the_rule_or_is_refused_by_name(white: int, storage: dict[str, object]) -> None:
    grey, colors = scaled(white, 1), scaled(white)
    full = np.full_like(grey[0], 65535)
    is_planar = bool(storage["planes"])

    def kind(photometric: int, *extra: int) -> Kind:
        return Kind(photometric, extra=extra)._replace(**storage)  # type: ignore[arg-type]

    check(tiff(grey, kind(BLACK_IS_ZERO)), by_the_rule(grey))
    check(tiff(grey, kind(WHITE_IS_ZERO)), 255 - by_the_rule(grey), may_be_refused=storage["order"] == ">")
    check(tiff(colors, kind(RGB)), by_the_rule(colors), may_be_refused=is_planar)
    check(tiff([*colors, full], kind(RGB, ALPHA)), by_the_rule(colors), may_be_refused=is_planar)
    check(tiff([*colors, full], kind(RGB, UNSPECIFIED)), by_the_rule(colors), may_be_refused=is_planar)
    usual = white == 65535 and not is_planar
    check(tiff([*colors, full], kind(RGB, PREMULTIPLIED)), by_the_rule(colors), may_be_refused=not usual)
    check(tiff([*grey, full], kind(BLACK_IS_ZERO, ALPHA)), by_the_rule(grey), may_be_refused=True)


@pytest.mark.parametrize("storage", STORAGE, ids=lambda storage: "-".join(map(str, storage.values())))
def test_ink_of_16_bits_is_full_at_65535(storage: dict[str, object]) -> None:
    kind = Kind(CMYK)._replace(**storage)  # type: ignore[arg-type]
    inks = [*scaled(65535), np.zeros((HEIGHT, WIDTH), int)]
    check(tiff(inks, kind), 255 - by_the_rule(scaled(65535)), may_be_refused=kind.planes)


@pytest.mark.parametrize("storage", STORAGE, ids=lambda storage: "-".join(map(str, storage.values())))
def test_planes_of_8_bits_are_read_or_refused_by_name(storage: dict[str, object]) -> None:
    grey, colors = scaled(255, 1), scaled(255)
    full = np.full_like(grey[0], 255)
    is_planar = bool(storage["planes"])

    def kind(photometric: int, *extra: int) -> Kind:
        return Kind(photometric, 8, extra=extra)._replace(**storage)  # type: ignore[arg-type]

    check(tiff(colors, kind(RGB)), by_the_rule(colors))
    check(tiff([*colors, grey[0]], kind(RGB, ALPHA)), by_the_rule(colors))
    check(tiff([*colors, full], kind(RGB, PREMULTIPLIED)), by_the_rule(colors), may_be_refused=is_planar)
    check(tiff([*colors, full], kind(RGB, UNSPECIFIED)), by_the_rule(colors), may_be_refused=is_planar)
    check(tiff([*colors, full, full], kind(RGB, 0, 0)), by_the_rule(colors), may_be_refused=is_planar)
    check(tiff([*grey, full], kind(BLACK_IS_ZERO, ALPHA)), by_the_rule(grey), may_be_refused=is_planar)
    check(tiff(grey, kind(WHITE_IS_ZERO)), 255 - by_the_rule(grey))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("sample", "bits"), [(FLOAT, 16), (FLOAT, 32), (FLOAT, 64), (SIGNED, 8), (SIGNED, 16), (SIGNED, 32), (UNSIGNED, 32)]
)
@pytest.mark.parametrize("planes", [False, True])
def test_floats_and_signed_values_follow_the_rule_or_are_refused_by_name(
    channels: int, sample: int, bits: int, planes: bool
) -> None:
    shades = SHADES[: 1 if channels < 3 else 3]
    values = shades if sample == FLOAT else [np.rint(shade * 127) for shade in shades]
    extra = (ALPHA,) if channels in (2, 4) else ()
    kind = Kind(RGB if channels > 2 else BLACK_IS_ZERO, bits, sample, extra, planes)
    rounded = [np.floor(value * (255.999 if sample == FLOAT else 1)).astype(int) for value in values]
    expected = np.stack(rounded if len(rounded) == 3 else rounded * 3, axis=-1)
    is_read = channels == 1 and (sample, bits) not in [(FLOAT, 16), (FLOAT, 64)]
    check(tiff([*values, *[values[0]] * len(extra)], kind), expected, may_be_refused=not is_read)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("sample", "bits", "low", "high"),
    [
        (SIGNED, 8, -128, 127),
        (SIGNED, 16, -32768, 32767),
        (SIGNED, 32, -(1 << 31), (1 << 31) - 1),
        (UNSIGNED, 32, 0, (1 << 32) - 1),
        (UNSIGNED, 32, 1 << 31, (1 << 32) - 1),
    ],
)
def test_integers_of_the_whole_range_are_stretched_or_refused_by_name(
    sample: int, bits: int, low: int, high: int, packed: bool, order: str
) -> None:
    values = np.rint(low + SHADES[0] * (high - low)).astype(np.int64)
    expected = np.floor((values - low) * (255.999 / (high - low))).astype(int)
    data = tiff([values], Kind(BLACK_IS_ZERO, bits, sample, packed=packed, order=order))
    is_read = not (sample == UNSIGNED and order == ">")  # Pillow does not support such values
    check(data, np.stack([expected] * 3, axis=-1), may_be_refused=not is_read)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_floats_of_any_range_are_stretched(packed: bool, order: str) -> None:
    data = tiff([SHADES[0] * 6e9 - 3e9], Kind(BLACK_IS_ZERO, 32, FLOAT, packed=packed, order=order))
    check(data, np.stack([np.floor(SHADES[0] * 255.999)] * 3, axis=-1))


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "jpeg", "tiff_deflate", "tiff_adobe_deflate", "packbits", "lzma", "zstd"]
)
def test_a_tiff_of_each_accepted_compression_is_read(compression: str) -> None:
    picture = Image.fromarray(np.stack(scaled(255), axis=-1).astype(np.uint8))
    picture.save(file := io.BytesIO(), "TIFF", compression=compression)
    np.testing.assert_allclose(decoded(file.getvalue()), np.asarray(picture), atol=12 if compression == "jpeg" else 0)


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
def test_a_fax_is_read(compression: str) -> None:
    picture = Image.fromarray(SHADES[2] > 0.5)
    picture.save(file := io.BytesIO(), "TIFF", compression=compression)
    np.testing.assert_array_equal(decoded(file.getvalue()), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize(
    ("number", "name"), [(50001, "WebP"), (34712, "JPEG 2000"), (50002, "JPEG XL"), (34887, "LERC"), (4711, "4711")]
)
def test_a_compression_that_is_not_accepted_is_named(number: int, name: str) -> None:
    data = tiff(scaled(255, 1), Kind(BLACK_IS_ZERO, 8))
    tag = struct.pack("<HHI", 259, 4, 1)
    data = data.replace(tag + struct.pack("<I", 1), tag + struct.pack("<I", number))
    with pytest.raises(UnsupportedFormatError) as caught:
        open_image(data).decode()
    assert f"compression {name} is not accepted" in caught.value.detail
