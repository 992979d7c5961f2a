"""AVIF and HEIC whose items, grids, and coded images are not what the file says: ISO/IEC 14496-12 and 23008-12."""

import struct
from collections.abc import Callable
from functools import partial

from chaos.corpus.case import Case, Verdict
from chaos.corpus.iso_media import HEIC, avif, box

_HEIC_SIZE = struct.pack(">III", 0, 64, 64)


def enlarged(data: bytes, kind: bytes, inserted: bytes) -> bytes:
    """Return the file with more data in the first box of a kind. The boxes around it and the item offsets grow."""
    at = data.index(kind) - 4
    (size,) = struct.unpack_from(">I", data, at)
    end, added = at + size, len(inserted)
    copy = bytearray(data[:end] + inserted + data[end:])
    for outer in _around(data, at):
        struct.pack_into(">I", copy, outer, struct.unpack_from(">I", data, outer)[0] + added)
    _move_items(copy, end, added)
    return bytes(copy)


def _around(data: bytes, at: int) -> list[int]:
    """Return where the box at `at` and the boxes that contain it start."""
    starts = []
    for kind in (b"meta", b"iprp", b"ipco", b"iinf", b"iref"):
        start = data.find(kind) - 4
        if start >= 0 and start <= at < start + struct.unpack_from(">I", data, start)[0]:
            starts.append(start)
    return starts if at in starts else [*starts, at]


def _move_items(data: bytearray, from_: int, by: int) -> None:
    """Move the items of an `iloc` of version 0, with one extent and 4-byte offsets, as libavif and libheif write it."""
    at = data.index(b"iloc") + 4
    sizes, count = data[at + 4] << 8 | data[at + 5], data[at + 6] << 8 | data[at + 7]
    base_bytes = sizes >> 4 & 15
    position = at + 8
    for _ in range(count):
        (offset,) = struct.unpack_from(">I", data, position + 6 + base_bytes)
        if offset >= from_:
            struct.pack_into(">I", data, position + 6 + base_bytes, offset + by)
        position += 14 + base_bytes


def extent_beyond(data: bytes) -> bytes:
    copy = bytearray(data)
    at = copy.index(b"iloc") + 4 + 8
    struct.pack_into(">I", copy, at + 6 + (copy[at - 3] >> 4 & 15), 0x7FFFFFFF)
    return bytes(copy)


def extents_in_no_bytes(data: bytes) -> bytes:
    """Give the first item 65,535 extents whose offset and length fields are zero bytes wide."""
    copy = bytearray(data)
    at = copy.index(b"iloc") + 4
    copy[at + 4 : at + 6] = bytes(2)
    struct.pack_into(">HHH", copy, at + 8, 1, 0, 0xFFFF)
    return bytes(copy)


def references(count: int) -> bytes:
    """Return an `iref` in which the image refers to itself again and again."""
    one = box(b"dimg", struct.pack(">HHH", 1, 1, 1))
    return box(b"iref", bytes(4) + one * count)


def grid_of_itself(rows: int, columns: int, width: int, height: int) -> bytes:
    """Return a HEIC whose primary item is a grid of tiles that are all the same item, number 2."""
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    hevc = HEIC[HEIC.index(b"mdat") + 4 :]
    config = HEIC[HEIC.index(b"hvcC") - 4 :][: struct.unpack_from(">I", HEIC, HEIC.index(b"hvcC") - 4)[0]]
    size = box(b"ispe", struct.pack(">III", 0, width, height))
    tile = box(b"ispe", _HEIC_SIZE)
    properties = box(b"ipco", config + tile + size) + box(
        b"ipma", struct.pack(">II", 0, 2) + struct.pack(">HBB", 1, 1, 3) + struct.pack(">HBBB", 2, 2, 0x81, 2)
    )
    entries = b"".join(
        box(b"infe", struct.pack(">IHH4sB", 0x02000000, item, 0, kind, 0))
        for item, kind in ((1, b"grid"), (2, b"hvc1"))
    )
    reference = box(
        b"iref",
        bytes(4) + box(b"dimg", struct.pack(">HH", 1, rows * columns) + struct.pack(">H", 2) * (rows * columns)),
    )

    def meta(start: int) -> bytes:
        location = struct.pack(">IBBH", 0, 0x44, 0, 2)
        for item, offset, length in ((1, start, len(grid)), (2, start + len(grid), len(hevc))):
            location += struct.pack(">HHHII", item, 0, 1, offset, length)
        return box(
            b"meta",
            bytes(4)
            + box(b"hdlr", bytes(8) + b"pict" + bytes(13))
            + box(b"pitm", struct.pack(">IH", 0, 1))
            + box(b"iloc", location)
            + box(b"iinf", struct.pack(">IH", 0, 2) + entries)
            + box(b"iprp", properties)
            + reference,
        )

    head = box(b"ftyp", b"heic\0\0\0\0mif1heic")
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + box(b"mdat", grid + hevc)


def _case(name: str, make: Callable[[], bytes], verdict: Verdict = Verdict.ACCEPTED) -> Case:
    return Case(f"items: {name}", make, verdict)


def _both(name: str, make: Callable[[bytes], bytes], verdict: Verdict = Verdict.ACCEPTED) -> list[Case]:
    return [
        _case(f"avif, {name}", lambda: make(avif()), verdict),
        _case(f"heic, {name}", lambda: make(HEIC), verdict),
    ]


def _behind(boxes: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data + boxes


CASES = (
    _case("avif, 50,000 properties", lambda: enlarged(avif(), b"ipco", box(b"free") * 50_000)),
    _case("heic, 50,000 properties", lambda: enlarged(HEIC, b"ipco", box(b"free") * 50_000), Verdict.TOO_EXPENSIVE),
    *_both(
        "2 million properties", lambda data: enlarged(data, b"ipco", box(b"free") * 2_000_000), Verdict.TOO_EXPENSIVE
    ),
    _case("avif, 40,000 references to itself", lambda: enlarged(avif(), b"meta", references(40_000)), Verdict.DAMAGED),
    _case(
        "heic, 40,000 references to itself", lambda: enlarged(HEIC, b"meta", references(40_000)), Verdict.TOO_EXPENSIVE
    ),
    *_both("9 MB behind the picture", _behind(box(b"free", bytes(9_000_000)))),
    *_both("a second picture behind the first", lambda data: data + data),
    *_both("data that lie behind the end", extent_beyond, Verdict.CUT_SHORT),
    *_both("extents in no bytes", extents_in_no_bytes, Verdict.DAMAGED),
    *_both("box of 64 bits behind the picture", _behind(b"\0\0\0\1free" + struct.pack(">Q", 16))),
    *_both("box of 2^63 bytes behind the picture", _behind(b"\0\0\0\1free" + struct.pack(">Q", 1 << 63))),
    _case("heic, grid of 4 x 4", partial(grid_of_itself, 4, 4, 256, 256)),
    _case("heic, grid of 255 x 255 for 64 squared", partial(grid_of_itself, 255, 255, 64, 64), Verdict.TOO_EXPENSIVE),
    _case(
        "heic, grid of 100 squared of one tile", partial(grid_of_itself, 100, 100, 6400, 6400), Verdict.TOO_EXPENSIVE
    ),
    _case("heic, grid of 1 x 1 that says 6,000 squared", partial(grid_of_itself, 1, 1, 6000, 6000), Verdict.DAMAGED),
)
