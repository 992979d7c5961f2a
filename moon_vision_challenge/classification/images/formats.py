"""Detects the format of a file by its first bytes, and names the formats that are not accepted."""

import re
from typing import NoReturn

from django.conf import settings

from moon_vision_challenge.classification.exceptions import UnsupportedFormatError

SUFFIXES = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "HEIC": "heic",
}
"""The name of a format that can be accepted → the suffix of a stored file."""

_MEDIA_TYPES = {suffix: f"image/{name.lower()}" for name, suffix in SUFFIXES.items()}
"""The suffix of a stored file → the type that browsers expect."""

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
)

_OTHERS = (
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG 2000"),
    (rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a", "JPEG XL"),
    (rb"II\xbc", "JPEG XR"),
    (rb"8BPS", "Photoshop (PSD)"),
    # Comments are atomic groups (?>): if a comment could also end at a later -->, n comments would match in 2^n ways.
    (rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:(?><!--.{0,2000}?-->)\s*|<!DOCTYPE svg[^>]*>\s*)*<svg", "SVG"),
    (rb"%PDF-", "PDF"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (rb"\0\0\x01\0[^\0]", "Windows icon (ICO)"),
    (rb"\0\0\x02\0[^\0]", "Windows cursor (CUR)"),
    (rb"icns", "Apple icon (ICNS)"),
    (rb"DDS ", "DDS"),
    (rb"v/1\x01", "OpenEXR"),
    (rb"#\?(?:RADIANCE|RGBE)", "Radiance HDR"),
    (rb"qoif", "QOI"),
    (rb"P[1-7fF]\s", "Netpbm (PBM, PGM, PPM, PNM)"),
    (rb"\x0a[\0-\x05]\x01[\x01\x02\x04\x08]", "PCX"),
    (rb"gimp xcf", "GIMP (XCF)"),
    (rb"SIMPLE  =", "FITS"),
    (rb".{128}DICM", "DICOM"),
    (rb"AT&TFORM", "DjVu"),
    (rb"\x8aMNG|\x8bJNG", "MNG"),
    (rb"FUJIFILMCCD-RAW|IIU\0|IIRO|MMOR", "camera raw"),
    (rb"BPG\xfb", "BPG"),
    (rb"FLIF", "FLIF"),
    (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", "Windows metafile (WMF, EMF)"),
    (rb"\x59\xa6\x6a\x95", "Sun raster"),
    (rb"\x01\xda[\0\x01][\x01\x02]", "SGI"),
    (rb"(?:\xef\xbb\xbf)?\s*<(?:!DOCTYPE )?html", "HTML"),
    (rb"PK\x03\x04", "ZIP"),
    (rb"\x1f\x8b", "gzip"),
    (rb"\x1aE\xdf\xa3|RIFF....AVI |.{4}ftyp|\0\0\x01[\xb3\xba]", "video"),
)
_OTHER_NAMES = tuple((re.compile(pattern, re.DOTALL | re.IGNORECASE), name) for pattern, name in _OTHERS)
_HEAD_BYTES = 4096

_BRANDS = {
    "AVIF": (b"avif", b"avis"),
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    "Canon raw (CR3)": (b"crx ",),
}
"""The brand in the `ftyp` box of an ISO base media file → its format."""


def identify(data: bytes) -> str:
    """Return the name of the format. If it is not accepted, raises UnsupportedFormatError, which names it."""
    name = next((name for start, name in _SIGNATURES if data.startswith(start)), None)
    if name is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        name = "WEBP"
    if name is None and data[4:8] == b"ftyp":
        name = _by_brand(data[8:64])
    if name not in SUFFIXES or name not in settings.INFERENCE_IMAGE_FORMATS:
        _refuse(name or _name_other(data))
    return name


def media_type_of(name: str) -> str:
    """Return the Content-Type of a stored file from its suffix, which was chosen by the format."""
    return _MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")


def _by_brand(brands: bytes) -> str | None:
    """Return the format of the major brand, or else of the first known compatible brand."""
    found = [brands[at : at + 4] for at in (0, *range(8, len(brands), 4))]
    return next((name for brand in found for name, known in _BRANDS.items() if brand in known), None)


def _name_other(data: bytes) -> str | None:
    head = data[:_HEAD_BYTES]
    if data.endswith(b"TRUEVISION-XFILE.\0"):
        return "Targa (TGA)"
    return next((name for pattern, name in _OTHER_NAMES if pattern.match(head)), None)


def _refuse(name: str | None) -> NoReturn:
    *most, last = [known for known in settings.INFERENCE_IMAGE_FORMATS if known in SUFFIXES]
    send = f"Send {', '.join(most)} or {last}." if most else f"Send {last}."
    what = f"This is a file of the format {name}, which is not accepted." if name else "The format is not known."
    raise UnsupportedFormatError(f"format: {name}", detail=f"{what} {send}")
