"""WebPs: RFC 9649."""

import struct
from collections.abc import Callable
from functools import partial

from PIL import Image

from chaos.corpus.case import Case, Verdict, cut_short, encode, photo

_ALPHA, _EXIF, _XMP, _ICC, _ANIMATION = 0x10, 0x08, 0x04, 0x20, 0x02


def chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) & 1)


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")


def extended(flags: int, width: int, height: int) -> bytes:
    return chunk(b"VP8X", bytes([flags, 0, 0, 0]) + _three(width - 1) + _three(height - 1))


def image_chunk(width: int = 320, height: int = 240, **options: object) -> bytes:
    return encode(photo(width, height), "WEBP", **options)[12:]


def flat(width: int, height: int) -> bytes:
    """Return an image of one colour, which takes a few dozen bytes in the file."""
    return encode(Image.new("RGB", (width, height)), "WEBP", lossless=True, quality=0, method=0)


def claims(width: int, height: int) -> bytes:
    """Return a lossless header that declares a size, without the data to fill it."""
    bits = (width - 1) | (height - 1) << 14
    return riff(chunk(b"VP8L", b"\x2f" + struct.pack("<I", bits) + bytes(20)))


def turned(width: int, height: int) -> bytes:
    exif = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x0112, 3, 1, 6)
    picture = encode(Image.new("RGB", (width, height)), "WEBP", lossless=True, quality=0, method=0)[12:]
    return riff(extended(_EXIF, width, height), picture, chunk(b"EXIF", exif))


def with_metadata(*chunks: bytes) -> bytes:
    return riff(extended(_EXIF | _XMP | _ICC, 320, 240), image_chunk(), *chunks)


def frame(width: int, height: int, picture: bytes) -> bytes:
    position = _three(0) * 2
    return chunk(b"ANMF", position + _three(width - 1) + _three(height - 1) + _three(100) + b"\2" + picture)


def animation(frames: int, canvas: tuple[int, int] = (320, 240)) -> bytes:
    one = frame(320, 240, image_chunk())
    return riff(extended(_ANIMATION, *canvas), chunk(b"ANIM", bytes(6)), *[one] * frames)


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"webp: {name}", make, verdict)


def _cases() -> list[Case]:
    data = encode(photo(), "WEBP")
    cases = [
        _case("16,383 x 3,050 of one colour", partial(flat, 16_383, 3050), Verdict.TOO_EXPENSIVE),
        _case("16,383 x 3,050 of one colour, turned", partial(turned, 16_383, 3050), Verdict.TOO_EXPENSIVE),
        _case("16,383 squared of nothing", partial(claims, 16_383, 16_383), Verdict.TOO_LARGE),
        _case("7,000 squared of nothing", partial(claims, 7000, 7000), Verdict.TOO_EXPENSIVE),
        _case("4,000 x 3,000 of one colour", partial(flat, 4000, 3000)),
        _case("4,000 x 3,000 of one colour, turned", partial(turned, 4000, 3000)),
        _case("canvas of 16 million squared", partial(animation, 1, (1 << 24, 1 << 24)), Verdict.TOO_LARGE),
        _case("canvas of 7,000 squared", partial(animation, 1, (7000, 7000)), Verdict.TOO_EXPENSIVE),
        _case("animation of 500 frames", partial(animation, 500)),
        _case("animation of 20,000 frames", partial(animation, 20_000)),
        _case("frame larger than the canvas", partial(animation, 1, (100, 100)), Verdict.DAMAGED),
        _case("EXIF of 5 MB", lambda: with_metadata(chunk(b"EXIF", b"II*\0\x08\0\0\0" + bytes(5_000_000)))),
        _case("XMP of 5 MB", lambda: with_metadata(chunk(b"XMP ", b"<" * 5_000_000))),
        _case("ICC profile of 5 MB", lambda: with_metadata(chunk(b"ICCP", bytes(5_000_000)))),
        _case("50,000 unknown chunks", lambda: with_metadata(*[chunk(b"teSt", b"")] * 50_000)),
        _case("2 million empty chunks", lambda: with_metadata(chunk(b"teSt", b"") * 2_000_000), Verdict.TOO_EXPENSIVE),
        _case("no image", lambda: riff(extended(0, 9, 9)), Verdict.DAMAGED),
        _case("header that is too short", lambda: riff(chunk(b"VP8X", b"\0\0")), Verdict.DAMAGED),
        _case("unknown first chunk", lambda: riff(chunk(b"VP9 ", bytes(50))), Verdict.DAMAGED),
        _case("lossy frame without its code", lambda: riff(chunk(b"VP8 ", bytes(50))), Verdict.DAMAGED),
        _case("only the signature", lambda: b"RIFF\x20\0\0\0WEBP", Verdict.CUT_SHORT),
        _case("alpha, lossless", lambda: encode(photo(mode="RGBA"), "WEBP", lossless=True)),
        _case("alpha, lossy", lambda: encode(photo(mode="RGBA"), "WEBP")),
        _case("junk behind the end", lambda: data + bytes(1000)),
    ]
    cases += cut_short("webp", data)
    return cases


CASES = tuple(_cases())
