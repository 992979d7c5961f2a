"""Valid images: what Pillow's encoders can write in the accepted formats."""

from functools import partial

from PIL import Image

from chaos.corpus.case import Case, Verdict, encode, photo


def _case(name: str, image_format: str, mode: str = "RGB", **options: object) -> Case:
    return Case(f"sound: {name}", partial(_make, image_format, mode, options), Verdict.ACCEPTED)


def _make(image_format: str, mode: str, options: dict[str, object]) -> bytes:
    return encode(photo(mode=mode), image_format, **options)


def turned(image_format: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(photo(), image_format, exif=exif)


def _turned_cases() -> list[Case]:
    return [
        Case(f"sound: {name}, orientation {number}", partial(turned, name, number), Verdict.ACCEPTED)
        for name in ("JPEG", "PNG", "WEBP", "TIFF")
        for number in (*range(1, 9), 0, 9, 99)
    ]


CASES = (
    *[_case(f"JPEG, {mode}", "JPEG", mode) for mode in ("RGB", "L", "CMYK", "YCbCr", "1")],
    *[_case(f"JPEG, quality {quality}", "JPEG", quality=quality) for quality in (1, 50, 95, 100)],
    *[_case(f"JPEG, sampling {sampling}", "JPEG", subsampling=sampling) for sampling in ("4:4:4", "4:2:2", "4:2:0")],
    *[_case(f"JPEG, progressive, {mode}", "JPEG", mode, progressive=True) for mode in ("RGB", "L", "CMYK")],
    _case("JPEG, optimized", "JPEG", optimize=True),
    _case("JPEG, kept as RGB", "JPEG", keep_rgb=True),
    _case("JPEG, restart markers", "JPEG", restart_marker_blocks=1),
    _case("JPEG, restart markers by row, progressive", "JPEG", restart_marker_rows=1, progressive=True),
    _case("JPEG, comment and profile", "JPEG", comment="a photo", icc_profile=bytes(3000), dpi=(300, 300)),
    *[_case(f"PNG, {mode}", "PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")],
    *[_case(f"PNG, palette of {bits} bits", "PNG", "P", bits=bits) for bits in (1, 2, 4, 8)],
    _case("PNG, uncompressed", "PNG", compress_level=0),
    _case("PNG, optimized", "PNG", optimize=True),
    _case("PNG, transparent colour", "PNG", "P", transparency=3),
    *[_case(f"WebP, {mode}", "WEBP", mode) for mode in ("RGB", "RGBA", "L")],
    *[_case(f"WebP, lossless, {mode}", "WEBP", mode, lossless=True) for mode in ("RGB", "RGBA")],
    _case("WebP, profile", "WEBP", icc_profile=bytes(3000), xmp=b"<x/>"),
    *[_case(f"GIF, {mode}", "GIF", mode) for mode in ("RGB", "L", "P", "1", "RGBA")],
    _case("GIF, not interlaced", "GIF", interlace=0),
    _case("GIF, comment", "GIF", comment=b"c" * 700),
    _case("GIF, transparent colour", "GIF", "P", transparency=3),
    *[_case(f"BMP, {mode}", "BMP", mode) for mode in ("RGB", "RGBA", "L", "P", "1")],
    *[
        _case(f"TIFF, {mode}", "TIFF", mode)
        for mode in ("RGB", "RGBA", "RGBX", "L", "LA", "P", "1", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
    ],
    *[_case(f"TIFF, LZW, {mode}", "TIFF", mode, compression="tiff_lzw") for mode in ("RGB", "L", "P", "CMYK")],
    _case("TIFF, big", "TIFF", big_tiff=True),
    *_turned_cases(),
)
