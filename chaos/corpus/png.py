"""PNGs: https://www.w3.org/TR/png-3/."""

import struct
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chaos.corpus.case import Case, Verdict, cut_short, encode, photo

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_END = 33
_20_MB = 20 * 1024 * 1024


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def header(width: int, height: int, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def after_header(inserted: bytes) -> bytes:
    data = encode(photo(), "PNG")
    return data[:_HEADER_END] + inserted + data[_HEADER_END:]


def before_end(inserted: bytes) -> bytes:
    data = encode(photo(), "PNG")
    return data[:-12] + inserted + data[-12:]


def bomb(width: int, height: int, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    """Return a PNG of one colour, which is much smaller in the file than decoded."""
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packer = zlib.compressobj(9)
    left = height * (1 + (width * bits + 7) // 8)
    pixels = b""
    while left:
        step = min(left, 1 << 20)
        pixels, left = pixels + packer.compress(bytes(step)), left - step
    pixels += packer.flush()
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    return header(width, height, depth, colour, interlace) + palette + chunk(b"IDAT", pixels) + chunk(b"IEND")


def from_rows(width: int, height: int, depth: int, colour: int, rows: NDArray[np.uint8]) -> bytes:
    """Return a PNG of rows of bytes, each with Paeth's filter, which most encoders choose for photos."""
    packer = zlib.compressobj(1)
    above = np.zeros_like(rows[0])
    pixels = b""
    for row in rows:
        pixels += packer.compress(b"\4" + _paeth(row, above, len(row) // width).tobytes())
        above = row
    return header(width, height, depth, colour) + chunk(b"IDAT", pixels + packer.flush()) + chunk(b"IEND")


def _paeth(row: NDArray[np.uint8], above: NDArray[np.uint8], pixel_bytes: int) -> NDArray[np.uint8]:
    """Apply Paeth's filter to a row: PNG, section 9.4."""
    a, b, c = (line.astype(np.int16) for line in (np.roll(row, pixel_bytes), above, np.roll(above, pixel_bytes)))
    a[:pixel_bytes] = c[:pixel_bytes] = 0
    to_a, to_b, to_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    predicted = np.where((to_a <= to_b) & (to_a <= to_c), a, np.where(to_b <= to_c, b, c))
    return (row - predicted).astype(np.uint8)


def tiny_chunks(size: int) -> bytes:
    """Return an image whose pixels are in chunks of a few bytes."""
    noise = Image.effect_noise((400, 400), 60).tobytes()
    pixels = zlib.compress(b"".join(b"\0" + noise[at : at + 400] for at in range(0, len(noise), 400)))
    pieces = [chunk(b"IDAT", pixels[at : at + size]) for at in range(0, len(pixels), size)]
    return header(400, 400) + b"".join(pieces) + chunk(b"IEND")


def interlaced(side: int) -> bytes:
    """Return a black image in Adam7: the rows of seven images, one after the other."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    size = sum(len(range(y, side, down)) * (1 + len(range(x, side, across))) for x, y, across, down in passes)
    return header(side, side, 8, 0, 1) + chunk(b"IDAT", zlib.compress(bytes(size))) + chunk(b"IEND")


def empty_deflate_blocks(count: int) -> bytes:
    """Return a PNG whose compressed pixels begin with empty stored blocks, of five bytes each."""
    raw = zlib.compress(bytes(241 * 320))
    # a stored block of length 0
    return header(320, 240) + chunk(b"IDAT", raw[:2] + b"\0\0\0\xff\xff" * count + raw[2:]) + chunk(b"IEND")


def text(kind: bytes, size: int, *, keyword: bytes = b"workflow") -> bytes:
    """Return a chunk of text that holds `size` bytes when inflated."""
    content = b'{"node": 1}' * (size // 11)
    if kind == b"tEXt":
        return chunk(kind, keyword + b"\0" + content)
    if kind == b"zTXt":
        return chunk(kind, keyword + b"\0\0" + zlib.compress(content))
    return chunk(kind, keyword + b"\0\1\0\0\0" + zlib.compress(content))


def with_text(insert: Callable[[bytes], bytes], kind: bytes, size: int, *, count: int = 1) -> bytes:
    return insert(text(kind, size) * count)


def apng(frames: int, size: tuple[int, int] = (320, 240)) -> bytes:
    images = [photo(*size).rotate(index) for index in range(frames)]
    return encode(images[0], "PNG", save_all=True, append_images=images[1:], duration=50)


def wrong_checksum() -> bytes:
    data = bytearray(encode(photo(), "PNG"))
    data[60] ^= 0xFF
    return bytes(data)


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"png: {name}", make, verdict)


def _metadata_cases() -> list[Case]:
    cases = [
        _case(f"{kind.decode()} of {size:,} bytes {where}", partial(with_text, insert, kind, size))
        for kind in (b"tEXt", b"zTXt", b"iTXt")
        for size in (100_000, 1_500_000, 9_000_000)
        for where, insert in (("before the pixels", after_header), ("behind the pixels", before_end))
    ]
    cases += [
        _case("200 texts of 900 kB", partial(with_text, after_header, b"zTXt", 900_000, count=200)),
        _case(
            "ICC profile that inflates to 300 MB",
            lambda: after_header(chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(300_000_000), 9))),
        ),
        _case(
            "ICC profile of 1.2 MB",
            lambda: after_header(chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(1_200_000), 0))),
        ),
        _case("ICC profile that is damaged", lambda: after_header(chunk(b"iCCP", b"x\0\0junk"))),
        _case("text that is damaged", lambda: after_header(chunk(b"zTXt", b"x\0\0junk"))),
        _case("text without a keyword", lambda: after_header(chunk(b"tEXt"))),
        _case("EXIF of 1 MB", lambda: after_header(chunk(b"eXIf", b"II*\0\x08\0\0\0" + b"\xff" * 1_000_000))),
        _case(
            "EXIF profile in text that inflates to 50 MB",
            lambda: after_header(text(b"zTXt", 50_000_000, keyword=b"Raw profile type exif")),
        ),
        _case(
            "XMP that inflates to 50 MB", lambda: after_header(text(b"iTXt", 50_000_000, keyword=b"XML:com.adobe.xmp"))
        ),
        _case("50,000 unknown chunks", lambda: after_header(chunk(b"teSt") * 50_000)),
        _case("50,000 physical sizes", lambda: after_header(chunk(b"pHYs", bytes(9)) * 50_000)),
        _case(
            "1.7 million empty chunks",
            lambda: after_header(chunk(b"teSt") * (_20_MB // 12 - 300)),
            Verdict.TOO_EXPENSIVE,
        ),
        _case("transparency longer than the palette", lambda: after_header(chunk(b"tRNS", bytes(5000)))),
        _case("junk behind the end", lambda: encode(photo(), "PNG") + bytes(1_000_000)),
        _case("19 MB of junk behind the end", lambda: encode(photo(), "PNG") + bytes(19_000_000)),
    ]
    return cases


def _pixel_cases() -> list[Case]:
    sound = encode(photo(), "PNG")
    cases = [
        _case(
            f"bomb of {width:,} x {height:,}, colour {colour}, {depth} bits",
            partial(bomb, width, height, depth, colour),
            verdict,
        )
        for width, height, depth, colour, verdict in (
            (20_000, 20_000, 1, 0, Verdict.TOO_LARGE),
            (20_000, 20_000, 8, 0, Verdict.TOO_LARGE),
            (50_000, 1001, 8, 2, Verdict.TOO_LARGE),
            (7000, 7000, 1, 0, Verdict.ACCEPTED),
            (7000, 7000, 8, 3, Verdict.ACCEPTED),
            (7000, 7000, 8, 2, Verdict.ACCEPTED),
            (7000, 7000, 16, 2, Verdict.TOO_EXPENSIVE),
            (5000, 5000, 16, 6, Verdict.ACCEPTED),
            (50_000_000, 1, 8, 0, Verdict.TOO_LARGE),
            (1, 50_000_000, 1, 0, Verdict.TOO_LARGE),
            (1, 65_535, 8, 2, Verdict.ACCEPTED),
            (65_535, 700, 8, 2, Verdict.ACCEPTED),
        )
    ]
    cases += cut_short("png", sound[:-12])
    cases += [
        _case("chunks of pixels of 1 byte, too many", lambda: tiny_chunks(1), Verdict.TOO_EXPENSIVE),
        _case("chunks of pixels of 64 bytes", lambda: tiny_chunks(64)),
        _case("4 million empty blocks", partial(empty_deflate_blocks, 4_000_000)),
        _case("100,000 empty blocks", partial(empty_deflate_blocks, 100_000)),
        _case("wrong checksum", wrong_checksum, Verdict.DAMAGED),
        _case("no columns", lambda: header(0, 5) + chunk(b"IDAT") + chunk(b"IEND"), Verdict.DAMAGED),
        _case("3 bits", lambda: header(5, 5, 3) + chunk(b"IDAT") + chunk(b"IEND"), Verdict.DAMAGED),
        _case("no pixels", lambda: header(5, 5) + chunk(b"IEND"), Verdict.CUT_SHORT),
        _case("only the signature", lambda: SIGNATURE, Verdict.CUT_SHORT),
        _case("header not first", lambda: SIGNATURE + chunk(b"gAMA", bytes(4)) + sound[8:], Verdict.DAMAGED),
        _case("palette of 20 MB", lambda: after_header(chunk(b"PLTE", bytes(19_999_998))), Verdict.DAMAGED),
        _case("APNG of 30 frames", partial(apng, 30)),
        _case("APNG that says 4 billion frames", lambda: after_header(chunk(b"acTL", b"\xff" * 8))),
        _case("interlaced", partial(interlaced, 2000)),
        _case("zeros for pixels", lambda: header(9, 9) + chunk(b"IDAT", bytes(100)) + chunk(b"IEND"), Verdict.DAMAGED),
    ]
    return cases


CASES = (*_metadata_cases(), *_pixel_cases())
