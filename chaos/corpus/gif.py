"""GIFs: https://www.w3.org/Graphics/GIF/spec-gif89a.txt."""

import struct
from collections.abc import Callable
from functools import partial

from chaos.corpus.case import Case, Verdict, cut_short, encode, photo

_PALETTE = bytes(range(256)) * 3
_TABLE_OF_256 = 0xF7
_SCREEN_END = 13 + len(_PALETTE)


def sub_blocks(data: bytes, size: int = 255) -> bytes:
    if size == 1:  # there may be millions
        blocks = bytearray(b"\1" * (2 * len(data)))
        blocks[1::2] = data
        return bytes(blocks) + b"\0"
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def screen(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HHBBB", width, height, _TABLE_OF_256, 0, 0) + _PALETTE


def image(left: int, top: int, width: int, height: int, codes: bytes, block: int = 255) -> bytes:
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\x08" + sub_blocks(codes, block)


def comment(size: int, block: int = 255) -> bytes:
    return b"!\xfe" + sub_blocks(b"c" * size, block)


def sound() -> bytes:
    return encode(photo(64, 64, "P"), "GIF")


def before_image(inserted: bytes) -> bytes:
    data = screen(64, 64)
    return data + inserted + image(0, 0, 64, 64, _codes(64 * 64)) + b";"


def after_image(inserted: bytes) -> bytes:
    return before_image(b"")[:-1] + inserted + b";"


def animation(frames: int) -> bytes:
    images = [photo(64, 64).rotate(index * 7) for index in range(frames)]
    return encode(images[0], "GIF", save_all=True, append_images=images[1:], duration=20)


def _codes(pixels: int) -> bytes:
    """Return LZW codes of 9 bits: one for each pixel, and a clear code before the table is full."""
    codes: list[int] = []
    for at in range(0, pixels, 200):
        codes += [256, *range(min(200, pixels - at))]
    codes.append(257)
    value = sum(code << (9 * index) for index, code in enumerate(codes))
    return value.to_bytes((9 * len(codes) + 7) // 8, "little")


def clear_codes(count: int) -> bytes:
    """Return an image whose codes clear the table again and again."""
    clear = sum(256 << (9 * index) for index in range(8)).to_bytes(9, "little")
    return screen(64, 64) + image(0, 0, 64, 64, clear * (count // 8) + _codes(64 * 64)) + b";"


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"gif: {name}", make, verdict)


def _cases() -> list[Case]:
    data = encode(photo(200, 200, "P"), "GIF")
    cases = [
        _case("comment of 19 MB", lambda: before_image(comment(19_000_000))),
        _case("comment of 19 MB behind the image", lambda: after_image(comment(19_000_000))),
        _case("comment in 90,000 blocks of 1 byte", lambda: before_image(comment(90_000, 1))),
        _case(
            "comment in 9 million blocks of 1 byte", lambda: before_image(comment(9_000_000, 1)), Verdict.TOO_EXPENSIVE
        ),
        _case("9 million blocks of 1 byte behind the image", lambda: after_image(comment(9_000_000, 1))),
        _case("40,000 comments", lambda: before_image(comment(1) * 40_000)),
        _case("5 million comments", lambda: before_image(b"!\xfe\0" * 5_000_000), Verdict.TOO_EXPENSIVE),
        _case("40,000 graphic controls", lambda: before_image(b"!\xf9\4\0\0\0\0\0" * 40_000)),
        _case(
            "application block of XMP, 5 MB",
            lambda: before_image(b"!\xff" + sub_blocks(b"XMP DataXMP" + bytes(5_000_000))),
        ),
        _case("garbage between blocks", lambda: before_image(b"\1\2\3")),
        _case("20 MB of garbage between blocks", lambda: before_image(b"\1" * 19_000_000), Verdict.TOO_EXPENSIVE),
        _case("animation of 200 frames", partial(animation, 200)),
        _case("a second image that is cut short", lambda: before_image(b"")[:-1] + image(0, 0, 64, 64, b"")[:9]),
        _case("16 million clear codes", partial(clear_codes, 16_000_000)),
        _case("no image", lambda: screen(64, 64) + b";", Verdict.DAMAGED),
        _case("image without pixels", lambda: screen(64, 64) + image(0, 0, 0, 64, b"") + b";", Verdict.DAMAGED),
        _case("only the signature", lambda: b"GIF89a", Verdict.CUT_SHORT),
        _case(
            "screen of 65,535 squared, image of 1",
            lambda: screen(65_535, 65_535) + image(0, 0, 1, 1, _codes(1)) + b";",
            Verdict.TOO_LARGE,
        ),
        _case(
            "image far beyond the screen",
            lambda: screen(1, 1) + image(65_000, 65_000, 9, 9, _codes(81)) + b";",
            Verdict.TOO_LARGE,
        ),
        _case("screen of 7,000 squared, image of 1", lambda: screen(7000, 7000) + image(0, 0, 1, 1, _codes(1)) + b";"),
        _case(
            "codes for half of the pixels",
            lambda: screen(64, 64) + image(0, 0, 64, 64, _codes(2000)[:-2]) + b";",
            Verdict.CUT_SHORT,
        ),
    ]
    cases += cut_short("gif", data)
    return cases


CASES = tuple(_cases())
