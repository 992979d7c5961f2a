"""Pictures that tests send: valid ones of every kind, and broken ones."""

import base64
import struct
import zlib
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from chaos.corpus import case

gradient, encode = case.photo, case.encode


def photo(image_format: str, mode: str = "RGB", **options: Any) -> bytes:
    return encode(gradient(mode=mode), image_format, **options)


def upload(data: bytes, name: str = "photo.jpg") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, content_type="image/jpeg")


def data_uri(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def png_bomb(width: int, height: int) -> bytes:
    """Return a black PNG: a few bytes for each row in the file, width x height bytes when decoded.

    One row is compressed and repeated: after a full flush, equal rows compress to equal bytes. The checksum is that of
    zeros (RFC 1950).
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    first, other = (packer.compress(bytes(width + 1)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    checksum = (height * (width + 1) % 65521) << 16 | 1
    rows = first + other * (height - 1) + b"\x03\x00" + struct.pack(">I", checksum)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animated_gif() -> bytes:
    """Return a GIF whose first frame is red and whose second frame is green."""
    frames = [Image.new("P", (64, 64), 0), Image.new("P", (64, 64), 1)]
    for frame in frames:
        frame.putpalette([255, 0, 0, 0, 255, 0])
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)


def sixteen_bit_png() -> bytes:
    """Return a mid-grey PNG with 16 bits per pixel."""
    return encode(Image.new("I;16", (64, 64), 0x8000), "PNG")


def rotated_by_exif(orientation: int) -> bytes:
    """Return a picture that is `gradient()` once it is turned as its EXIF tag says."""
    turn_back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = gradient().transpose(turn_back[orientation]) if orientation in turn_back else gradient()
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image, "PNG", exif=exif)


UNREADABLE = {
    "text": b"not an image",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "truncated jpeg": photo("JPEG")[:2000],
    "truncated png": photo("PNG")[:200],
    "truncated gif": photo("GIF")[:400],
    "truncated webp": photo("WEBP")[:300],
    "png with a wrong checksum": photo("PNG")[:60] + b"\x00\x00" + photo("PNG")[62:],
    "pdf": b"%PDF-1.7\n",
    "icon, a format that is not accepted": photo("ICO"),
}
