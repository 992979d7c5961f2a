"""AVIF and HEIC: boxes of ISO/IEC 14496-12."""

import base64
import struct
from functools import partial

from chaos.corpus.case import Case, Verdict, cut_short, encode, photo


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def meta(width: int, height: int, brand: bytes) -> bytes:
    """Return a file that declares a size but has no image."""
    size = box(b"ispe", struct.pack(">III", 0, width, height))
    properties = box(b"iprp", box(b"ipco", size))
    return box(b"ftyp", brand + bytes(4) + brand) + box(b"meta", bytes(4) + properties) + box(b"mdat", bytes(100))


def avif(width: int = 320, height: int = 240) -> bytes:
    return encode(photo(width, height), "AVIF", speed=10)


def claiming(width: int, height: int) -> bytes:
    """Return a valid AVIF that declares another size."""
    data = avif()
    start = data.index(b"ispe") + 8
    return data[:start] + struct.pack(">II", width, height) + data[start + 8 :]


def moved() -> bytes:
    """Insert a box after the first one, so that no offset leads to the image."""
    data = avif()
    end_of_type = int.from_bytes(data[:4], "big")
    return data[:end_of_type] + box(b"free", bytes(8)) + data[end_of_type:]


# A red square of 64 x 64, written by libx265 because Pillow cannot write HEIC.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAAB0AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqSSmubgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xy"
    "bmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAACVt"
    "ZGF0AAAAGSgBrxOA5qhw0//+JpR//Trnh+nl0tJ5v3w="
)

CASES = (
    Case("avif", avif, Verdict.ACCEPTED),
    Case("avif: grey", lambda: encode(photo(mode="L"), "AVIF", speed=10), Verdict.ACCEPTED),
    Case("avif: alpha", lambda: encode(photo(mode="RGBA"), "AVIF", speed=10), Verdict.ACCEPTED),
    Case("avif: 2,000 x 1,500", partial(avif, 2000, 1500), Verdict.ACCEPTED),
    Case("avif: says 100,000 squared", partial(claiming, 100_000, 100_000), Verdict.TOO_LARGE),
    Case("avif: says 7,000 squared", partial(claiming, 7000, 7000), Verdict.TOO_EXPENSIVE),
    Case("avif: says 64 squared", partial(claiming, 64, 64), Verdict.ACCEPTED),
    Case("avif: says nothing", partial(claiming, 0, 0), Verdict.DAMAGED),
    Case("avif: no image", partial(meta, 64, 64, b"avif"), Verdict.DAMAGED),
    Case("avif: film", lambda: box(b"ftyp", b"avis\0\0\0\0avis") + box(b"moov"), Verdict.UNSUPPORTED),
    Case("avif: no boxes", lambda: box(b"ftyp", b"avif\0\0\0\0avif") + box(b"meta", bytes(4)), Verdict.DAMAGED),
    Case("avif: box of 3 bytes", lambda: box(b"ftyp", b"avif\0\0\0\0avif") + b"\0\0\0\3meta", Verdict.DAMAGED),
    Case(
        "avif: 2 million empty boxes",
        lambda: box(b"ftyp", b"avif\0\0\0\0avif") + box(b"free") * 2_000_000,
        Verdict.TOO_EXPENSIVE,
    ),
    Case("avif: a box that moves the data of the picture", moved, Verdict.DAMAGED),
    *cut_short("avif", avif()),
    Case("heic", lambda: HEIC, Verdict.ACCEPTED),
    Case("heic: no image", partial(meta, 64, 64, b"heic"), Verdict.DAMAGED),
    Case("heic: says 100,000 squared", partial(meta, 100_000, 100_000, b"heic"), Verdict.TOO_LARGE),
    *cut_short("heic", HEIC),
)
