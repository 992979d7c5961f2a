"""JPEGs with unusual segments, restart markers, and scans: ITU-T T.81, annex B."""

import struct
from collections.abc import Callable
from functools import partial

from chaos.corpus.case import Case, Verdict, encode, photo
from chaos.corpus.jpeg import after_start, before_end, empty_scans, segment, sound, with_frame

_SOF2, _DHT, _DQT, _DRI, _SOS = 0xC2, 0xC4, 0xDB, 0xDD, 0xDA
_NO_CODES = b"\0" + bytes(16)
_TABLE_OF_ONES = b"\0" + b"\1" * 64


def start_of(marker: int, data: bytes | bytearray) -> int:
    return data.index(bytes([0xFF, marker]))


def before(marker: int, inserted: bytes, **options: object) -> bytes:
    data = sound(**options)
    at = start_of(marker, data)
    return data[:at] + inserted + data[at:]


def before_second_scan(inserted: bytes) -> bytes:
    data = sound(progressive=True)
    at = data.index(b"\xff\xda", start_of(_SOS, data) + 2)
    return data[:at] + inserted + data[at:]


def thumbnail(picture: bytes) -> bytes:
    """Return a JPEG with an EXIF block whose second directory is a thumbnail."""
    tags = struct.pack("<HHII", 0x0201, 4, 1, 44) + struct.pack("<HHII", 0x0202, 4, 1, len(picture))
    first = struct.pack("<HI", 0, 14)
    second = struct.pack("<H", 2) + tags + bytes(4)
    return after_start(segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + first + second + picture))


def restarts(interval: int, **options: object) -> bytes:
    return sound(restart_marker_blocks=interval, **options)


def without_restarts() -> bytes:
    """Declare a restart interval for a scan that has no restart marker."""
    return before(_SOS, segment(_DRI, b"\0\1"))


def restarts_out_of_order() -> bytes:
    data = bytearray(restarts(4))
    at = start_of(_SOS, data)
    while (at := data.find(b"\xff\xd3", at + 2)) >= 0:
        data[at + 1] = 0xD6
    return bytes(data)


def only_restarts(count: int) -> bytes:
    """Return a JPEG with a scan of nothing but restart markers."""
    data = sound()
    end = start_of(_SOS, data) + 14
    return data[:end] + b"\xff\xd0" * count + b"\xff\xd9"


def dc_only(width: int, height: int) -> bytes:
    """Return a progressive JPEG of one scan, whose blocks libjpeg smooths."""
    return empty_scans(1, width, height)


def scans_of_parts(count: int) -> bytes:
    """Add scans of one component each to a valid image of three components."""
    extra = segment(_SOS, b"\1\1\0\1\x3f\0") * count
    return before_end(extra, progressive=True)


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"jpeg: {name}", make, verdict)


def _table_cases() -> list[Case]:
    return [
        _case("900 quantisation tables", lambda: before(_SOS, segment(_DQT, _TABLE_OF_ONES) * 900)),
        _case("3,000 empty Huffman tables", lambda: after_start(segment(_DHT, _NO_CODES) * 3000)),
        _case("15,000 table segments of nothing", lambda: after_start(segment(_DQT) * 15_000)),
        _case("17,000 table segments of nothing", lambda: after_start(segment(_DQT) * 17_000), Verdict.DAMAGED),
        _case("10,000 restart intervals", lambda: after_start(segment(_DRI, b"\0\0") * 10_000)),
        _case("90,000 tables between scans", lambda: before_second_scan(segment(_DRI, b"\0\0") * 90_000)),
        _case(
            "200,000 tables between scans",
            lambda: before_second_scan(segment(_DRI, b"\0\0") * 200_000),
            Verdict.TOO_EXPENSIVE,
        ),
        _case("Huffman table of 300 codes", lambda: before(_SOS, segment(_DHT, b"\0" + b"\x40" * 16)), Verdict.DAMAGED),
        _case("quantisation table number 9", lambda: after_start(segment(_DQT, b"\x09" + bytes(64))), Verdict.DAMAGED),
        _case("comments between scans", lambda: before_second_scan(segment(0xFE, b"c" * 60_000) * 200)),
    ]


def _restart_cases() -> list[Case]:
    return [
        *[_case(f"restart after each {count} blocks", partial(restarts, count)) for count in (1, 2, 7)],
        _case("restart after each block, progressive", partial(restarts, 1, progressive=True)),
        _case("restart interval that the scan ignores", without_restarts),
        _case("restart markers out of order", restarts_out_of_order),
        _case("9 million restart markers instead of pixels", partial(only_restarts, 9_000_000)),
    ]


def _kind_cases() -> list[Case]:
    twelve = [(0xC1, "extended"), (_SOF2, "progressive")]
    kinds = [
        _case(f"12 bits, {name}", partial(with_frame, marker=marker, precision=12), Verdict.UNSUPPORTED)
        for marker, name in twelve
    ]
    return [
        *kinds,
        _case("extended sequential", partial(with_frame, marker=0xC1)),
        _case(
            "CMYK, progressive, restarts",
            lambda: encode(photo(mode="CMYK"), "JPEG", progressive=True, restart_marker_rows=1),
        ),
        _case("thumbnail that is a JPEG", lambda: thumbnail(encode(photo(160, 120), "JPEG"))),
        _case("thumbnail that is a bomb", lambda: thumbnail(empty_scans(2000, 20_000, 2500))),
        _case("thumbnail that is longer than the segment", lambda: thumbnail(sound()[:9000])),
        _case("63 application segments of 64 kB", lambda: after_start(segment(0xEB, bytes(65_000)) * 63)),
        *[
            _case(f"300 application segments {marker:#x} of 64 kB", partial(_many_large, marker))
            for marker in (0xE0, 0xE3, 0xEC, 0xEE)
        ],
        _case("one scan of 12 megapixels, progressive", partial(dc_only, 4000, 3000)),
        _case("200 scans of one component", partial(scans_of_parts, 200)),
        _case("2,000 scans of one component", partial(scans_of_parts, 2000)),
        _case("100,000 scans of one component", partial(scans_of_parts, 100_000), Verdict.TOO_EXPENSIVE),
        _case("sound JPEG in a JPEG's comment", lambda: after_start(segment(0xFE, sound()[:60_000]))),
    ]


def _many_large(marker: int) -> bytes:
    return after_start(segment(marker, bytes(65_000)) * 300)


CASES = (*_table_cases(), *_restart_cases(), *_kind_cases())
