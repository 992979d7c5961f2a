"""JPEGs: ITU-T T.81, annex B."""

import struct
from collections.abc import Callable
from functools import partial

from chaos.corpus.case import Case, Verdict, cut_short, encode, photo

_SOF0, _SOF2, _SOS, _EOI, _COM = 0xC0, 0xC2, 0xDA, 0xD9, 0xFE
_HEADER_BYTES = 2
_20_MB = 20 * 1024 * 1024


def segment(marker: int, content: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def sound(**options: object) -> bytes:
    return encode(photo(), "JPEG", **options)


def after_start(inserted: bytes, **options: object) -> bytes:
    """Return a valid JPEG with something before its first segment."""
    data = sound(**options)
    return data[:_HEADER_BYTES] + inserted + data[_HEADER_BYTES:]


def before_end(inserted: bytes, **options: object) -> bytes:
    data = sound(**options)
    return data[:-2] + inserted + data[-2:]


def repeated(content: bytes, marker: int, count: int) -> bytes:
    """Return a valid JPEG with equal segments before its first one."""
    return after_start(segment(marker, content) * count)


def with_frame(
    *, marker: int | None = None, precision: int | None = None, size: tuple[int, int] | None = None
) -> bytes:
    """Return a JPEG that is valid except for its frame header. `size` is the width and height."""
    data = bytearray(sound())
    start = data.index(b"\xff\xc0")
    if marker is not None:
        data[start + 1] = marker
    if precision is not None:
        data[start + 4] = precision
    if size is not None:
        data[start + 5 : start + 9] = struct.pack(">HH", size[1], size[0])
    return bytes(data)


def with_sampling(*factors: int) -> bytes:
    data = bytearray(sound())
    start = data.index(b"\xff\xc0")
    for index, factor in enumerate(factors):
        data[start + 11 + 3 * index] = factor
    return bytes(data)


def two_frames() -> bytes:
    data = sound()
    start = data.index(b"\xff\xc0")
    return data[:start] + data[start : start + 19] + data[start:]


def empty_scans(count: int, width: int, height: int) -> bytes:
    """Return a progressive JPEG with empty scans, each of which makes the decoder walk over all blocks."""
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    # each table has one code of one bit: a difference of 0 for DC, "the rest of the block is zero" for AC
    tables += segment(0xC4, b"\0" + b"\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10" + b"\1" + bytes(15) + b"\0")
    frame = segment(_SOF2, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    first = segment(_SOS, b"\1\1\0\0\0\0")
    scan = segment(_SOS, b"\1\1\0\1\x3f\0")
    return b"\xff\xd8" + tables + frame + first + scan * (count - 1) + b"\xff\xd9"


def exif(entries: bytes, count: int) -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", count) + entries


def exif_in_many_segments(count: int) -> bytes:
    return after_start(segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0") * count)


def exif_of_rationals(count: int) -> bytes:
    """Return a JPEG with EXIF entries that all point to the same 60 kB of rationals."""
    entry = struct.pack("<HHII", 0x829A, 5, 7000, 2048)
    return after_start(segment(0xE1, (exif(entry * count, count)).ljust(65_000, b"\1")))


def markers_before_a_segment(marker: int, count: int = 9_000_000) -> bytes:
    """Insert markers that have no length and that readers skip."""
    return after_start(bytes([0xFF, marker]) * count)


def exif_loop() -> bytes:
    """Return a JPEG with an EXIF directory that is its own next directory."""
    return after_start(segment(0xE1, exif(b"", 0) + b"\x08\0\0\0"))


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"jpeg: {name}", make, verdict)


def _refused(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.TOO_EXPENSIVE) -> Case:
    return _case(name, make, verdict)


def _metadata_cases() -> list[Case]:
    icc = b"ICC_PROFILE\0\1\1" + bytes(60_000)
    cases = [
        _case("ICC profile of 1.2 MB", partial(repeated, icc, 0xE2, 20)),
        _case("ICC profile of 12 MB", partial(repeated, icc, 0xE2, 200)),
        _case("comment of 64 kB", lambda: after_start(segment(_COM, b"a" * 65_000))),
        _case("300 comments of 64 kB", lambda: after_start(segment(_COM, b"a" * 65_000) * 300)),
        _case("XMP of 64 kB", lambda: after_start(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<" * 65_000))),
        _case("Photoshop blocks", lambda: after_start(segment(0xED, b"Photoshop 3.0\0" + b"8BIM" * 16_000) * 9)),
        _case("EXIF with rationals", partial(exif_of_rationals, 5000)),
        _case("EXIF directory that is its own next", exif_loop),
        _case("EXIF that is cut short", lambda: after_start(segment(0xE1, b"Exif\0\0II*\0\xff\0\0\0"))),
        _case("EXIF of nothing", lambda: after_start(segment(0xE1, b"Exif\0\0"))),
        _case("EXIF in 50,000 segments", partial(exif_in_many_segments, 50_000)),
        _case("MPF index that points nowhere", lambda: after_start(segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"))),
        _case("junk behind the end", lambda: sound() + b"\xff\xd8\xff" * 100_000),
        _case("a second picture behind the end", lambda: sound() + sound()),
        _case("20 MB of fill bytes before a segment", lambda: after_start(b"\xff" * (_20_MB - 10_000))),
        _case("19 MB of fill bytes before the end", lambda: before_end(b"\xff" * 19_000_000)),
        _case(
            "19 MB of fill bytes before the end, progressive",
            lambda: before_end(b"\xff" * 19_000_000, progressive=True),
        ),
        *[
            _case(f"9 million markers {marker:#x} before a segment", partial(markers_before_a_segment, marker))
            for marker in (0x01, 0xD0)
        ],
        _case("garbage before a segment", lambda: sound().replace(b"\xff\xdb", b"abc\xff\xdb", 1)),
    ]
    cases += [
        _case(f"50,000 empty segments {marker:#x}", partial(repeated, b"", marker, 50_000))
        for marker in (_COM, 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xEF)
    ]
    cases += [
        _refused(f"20 MB of empty segments {marker:#x}", partial(repeated, b"", marker, _20_MB // 4 - 99))
        for marker in (_COM, 0xE0, 0xE1, 0xED, 0xEE)
    ]
    return cases


def _frame_cases() -> list[Case]:
    kinds = {0xC3: "lossless", 0xC5: "hierarchical", 0xC9: "arithmetic", 0xCA: "arithmetic progressive"}
    kinds |= {0xC6: "hierarchical progressive", 0xC7: "hierarchical lossless", 0xCB: "arithmetic lossless"}
    kinds |= {0xCD: "SOF13", 0xCE: "SOF14", 0xCF: "SOF15", 0xF7: "JPEG-LS"}
    cases = [_refused(kind, partial(with_frame, marker=marker), Verdict.UNSUPPORTED) for marker, kind in kinds.items()]
    cases += [
        _refused(f"{bits} bits", partial(with_frame, precision=bits), Verdict.UNSUPPORTED) for bits in (2, 12, 16)
    ]
    cases += [
        _refused("height in DNL", partial(with_frame, size=(320, 0)), Verdict.UNSUPPORTED),
        _refused("no columns", partial(with_frame, size=(0, 240)), Verdict.DAMAGED),
        _refused("65,535 x 65,535", partial(with_frame, size=(65_535, 65_535)), Verdict.TOO_LARGE),
        _refused("hierarchical marker", lambda: after_start(segment(0xDE, bytes(15))), Verdict.UNSUPPORTED),
        _refused("arithmetic tables", lambda: after_start(segment(0xCC, b"\0\0")), Verdict.UNSUPPORTED),
        _refused("fractional sampling", partial(with_sampling, 0x31, 0x21, 0x11), Verdict.UNSUPPORTED),
        _refused("sampling of nothing", partial(with_sampling, 0x00, 0x11, 0x11), Verdict.DAMAGED),
        _refused("two frames", two_frames, Verdict.DAMAGED),
        _refused("two beginnings", lambda: after_start(b"\xff\xd8"), Verdict.DAMAGED),
        _refused("end at once", lambda: b"\xff\xd8\xff\xd9", Verdict.DAMAGED),
        _refused("only a beginning", lambda: b"\xff\xd8\xff", Verdict.CUT_SHORT),
        _refused("segment of length 1", lambda: after_start(b"\xff\xe1\0\1"), Verdict.DAMAGED),
        _refused(
            "20 MB of quantisation tables",
            lambda: after_start(segment(0xDB, (b"\0" + b"\1" * 64) * 1000) * 320),
            Verdict.DAMAGED,
        ),
        _refused("scan before the frame", lambda: after_start(segment(_SOS, b"\1\1\0\0\0\0")), Verdict.DAMAGED),
    ]
    return cases


def _scan_cases() -> list[Case]:
    cases = [
        _refused(f"{count:,} empty scans of {width} x {height}", partial(empty_scans, count, width, height))
        for count, width, height in ((1000, 4000, 3000), (100, 8000, 6000), (65_000, 1000, 800), (500, 20_000, 2500))
    ]
    cases += [
        _case(f"{count:,} empty scans of {width} x {height}", partial(empty_scans, count, width, height))
        for count, width, height in ((10, 320, 240), (100, 320, 240), (1000, 320, 240), (4, 4000, 3000))
    ]
    data = sound(quality=90)
    progressive = sound(progressive=True)
    cases += cut_short("jpeg", data) + cut_short("jpeg: progressive", progressive)
    return cases


CASES = (*_metadata_cases(), *_frame_cases(), *_scan_cases())
