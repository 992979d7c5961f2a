"""Files that are two things at once, and images that follow other content."""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from zipfile import ZipFile

from chaos.corpus.bmp import bitmap
from chaos.corpus.case import Case, Verdict, encode, photo
from chaos.corpus.jpeg import after_start, segment
from chaos.corpus.png import after_header, chunk

_ACCEPTED = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
_SCRIPT = b"<html><script>alert(1)</script>%PDF-1.7 PK\3\4"


def archive() -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w") as file:
        file.writestr("a.txt", "text")
    return buffer.getvalue()


def small(image_format: str) -> bytes:
    return encode(photo(64, 64), image_format)


def joined(*formats: str) -> bytes:
    return b"".join(map(small, formats))


def followed(image_format: str, end: bytes) -> bytes:
    return small(image_format) + end


def behind(start: bytes, image_format: str = "JPEG") -> bytes:
    return start + small(image_format)


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"polyglot: {name}", make, verdict)


CASES = (
    *[
        _case(f"{one} and {other}", partial(joined, one, other))
        for one in _ACCEPTED
        for other in _ACCEPTED
        if one != other
    ],
    *[_case(f"{name} and an archive", partial(followed, name, archive())) for name in _ACCEPTED],
    *[_case(f"{name} and a web page", partial(followed, name, _SCRIPT)) for name in _ACCEPTED if name != "AVIF"],
    _case("JPEG with a web page as comment", lambda: after_start(segment(0xFE, _SCRIPT))),
    _case("PNG with a web page as text", lambda: after_header(chunk(b"tEXt", b"a\0" + _SCRIPT))),
    _case("JPEG behind a line break", partial(behind, b"\n"), Verdict.UNSUPPORTED),
    _case("JPEG behind a byte order mark", partial(behind, b"\xef\xbb\xbf"), Verdict.UNSUPPORTED),
    _case("JPEG behind 2 MB of zeros", partial(behind, bytes(2_000_000)), Verdict.UNSUPPORTED),
    _case("JPEG behind a PDF's first line", partial(behind, b"%PDF-1.7\n"), Verdict.UNSUPPORTED),
    _case("PNG with the line breaks of text mode", lambda: small("PNG").replace(b"\r\n", b"\n"), Verdict.UNSUPPORTED),
    _case(
        "PNG in an icon", lambda: b"\0\0\1\0\1\0\x40\x40\0\0\1\0\x20\0" + bytes(8) + small("PNG"), Verdict.UNSUPPORTED
    ),
    _case(
        "bitmap in a cursor",
        lambda: b"\0\0\2\0\1\0\x20\x40" + bytes(14) + bitmap(32, 64, 32, 0, bytes(8192))[14:],
        Verdict.UNSUPPORTED,
    ),
    _case("GIF's signature and a script", lambda: b"GIF89a/*" + b" " * 300 + b"*/=1;alert(1)", Verdict.DAMAGED),
    _case("BMP's signature and text", lambda: b"BM is short for bitmap, is it not? " * 4, Verdict.DAMAGED),
)
