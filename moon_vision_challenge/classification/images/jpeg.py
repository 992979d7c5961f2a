"""The structure of a JPEG: ITU-T T.81, annex B. Names of markers are the standard's."""

import re
import struct
from typing import NamedTuple

from moon_vision_challenge.classification.exceptions import (
    DamagedImageError,
    TruncatedImageError,
    UnsupportedFormatError,
)
from moon_vision_challenge.classification.images import exif
from moon_vision_challenge.classification.images.structure import STORED_RGB_BYTES, PartCounter, Structure, pixel_bytes

# Fill bytes and garbage before a marker are passed over, as libjpeg does.
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_END_OF_ENTROPY_CODED_DATA = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

_SOF0, _SOF1, _SOF2, _DHT, _SOI, _EOI, _SOS, _DQT, _DNL, _DRI = (
    0xC0,
    0xC1,
    0xC2,
    0xC4,
    0xD8,
    0xD9,
    0xDA,
    0xDB,
    0xDC,
    0xDD,
)
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_FRAMES = {_SOF0, _SOF1, _SOF2}
_OTHER_FRAMES = {
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical",
    0xC7: "lossless hierarchical",
    0xC9: "arithmetic-coded",
    0xCA: "arithmetic-coded",
    0xCB: "lossless arithmetic-coded",
    0xCC: "arithmetic-coded",
    0xCD: "arithmetic-coded hierarchical",
    0xCE: "arithmetic-coded hierarchical",
    0xCF: "lossless arithmetic-coded",
    0xDE: "hierarchical",
    0xDF: "hierarchical",
    0xF7: "JPEG-LS",
}
_TABLES = {_DHT, _DQT, _DRI}
_MAX_TABLES_BYTES = 65_536
"""Of quantisation and Huffman tables before the first scan. All that are allowed together need 4 kB."""

_XMP = b"http://ns.adobe.com/xap/1.0/\0"

# Seconds; measured with libjpeg-turbo 3.2, docs/images.md.
_S_PER_BYTE = 14e-9
_S_PER_SAMPLE = 2.5e-9
_S_PER_BLOCK_OF_A_SCAN = 45e-9
_S_PER_SCAN = 20e-6


class _Frame(NamedTuple):
    is_progressive: bool
    width: int
    height: int
    blocks: dict[int, int]
    """Component → how many blocks of 8 x 8 samples it has."""


class _Segment(NamedTuple):
    marker: int
    start: int
    """Of the marker, without fill bytes."""
    end: int


def scan(data: bytes, counter: PartCounter) -> Structure:
    """Read all segments before the first scan; of an image in several scans, those between them too."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [b"\xff\xd8"]
    colour: dict[int, memoryview] = {}
    frame: _Frame | None = None
    orientation = xmp_orientation = None
    position, tables = 2, 0
    while True:
        counter.take()
        marker, start, position = segment = _next_segment(data, position)
        if marker == _SOS:
            break
        if marker in _FRAMES:
            if frame:
                raise DamagedImageError("two frames")
            frame = _read_frame(data, segment)
            kept.append(view[start:position])
        elif marker in _TABLES:
            tables += position - start
            kept.append(view[start:position])
        elif marker in _OTHER_FRAMES:
            _refuse(_OTHER_FRAMES[marker])
        elif marker == _APP1:
            if orientation is None and data.startswith(b"Exif\0\0", start + 4):
                orientation = exif.read_orientation(view[start + 4 : position])
            elif xmp_orientation is None and data.startswith(_XMP, start + 4):
                xmp_orientation = exif.read_orientation_of_xmp(view[start + 4 : position])
        elif marker in (_APP0, _APP14) and data.startswith((b"JFIF\0", b"Adobe"), start + 4):
            colour[marker] = view[start:position]  # they tell the colour space
    if frame is None:
        raise DamagedImageError("a scan before the frame")
    if tables > _MAX_TABLES_BYTES:
        raise DamagedImageError("more tables than an image can use")
    kept[1:1] = colour.values()
    return _turn(_scan_scans(data, segment, frame, kept, counter), orientation or xmp_orientation or 1)


def _turn(structure: Structure, orientation: int) -> Structure:
    if orientation == 1:
        return structure
    memory = pixel_bytes(structure.width, structure.height, STORED_RGB_BYTES, orientation=orientation, is_rgb=True)
    return structure._replace(orientation=orientation, pixel_bytes=max(structure.pixel_bytes, memory))


def _next_segment(data: bytes, position: int) -> _Segment:
    while found := _MARKER.search(data, position):
        marker, start = data[found.start(1)], found.start()
        if marker in (_SOI, _EOI):
            raise DamagedImageError("no image before its end" if marker == _EOI else "two beginnings")
        if marker in _WITHOUT_LENGTH:
            position = found.end()
            continue
        (length,) = struct.unpack_from(">H", data, found.end())
        end = found.end() + length
        if length < 2:
            raise DamagedImageError("a segment shorter than its length")
        if end > len(data):
            break
        return _Segment(marker, start, end)
    raise TruncatedImageError("JPEG: no more segments")


def _read_frame(data: bytes, segment: _Segment) -> _Frame:
    precision, height, width, count = struct.unpack_from(">BHHB", data, segment.start + 4)
    if precision != 8:
        _refuse(f"{precision}-bit")
    if segment.end - segment.start != 10 + 3 * count:
        raise DamagedImageError("a frame of another length")
    if not width:
        raise DamagedImageError("no columns")
    if not height:
        _refuse("height-in-DNL")
    components = list(struct.iter_unpack("BBB", data[segment.start + 10 : segment.end]))
    if count not in (1, 3, 4):
        _refuse(f"{count}-component")
    factors = {name: (both >> 4, both & 15) for name, both, _ in components}
    across = [h for h, _ in factors.values()]
    down = [v for _, v in factors.values()]
    if not 1 <= min(across) <= max(across) <= 4 or not 1 <= min(down) <= max(down) <= 4 or len(factors) != count:
        raise DamagedImageError("sampling factors")
    if any(max(across) % h or max(down) % v for h, v in factors.values()):
        _refuse("fractionally-sampled")
    blocks = {
        name: -(-width * h // (8 * max(across))) * -(-height * v // (8 * max(down))) for name, (h, v) in factors.items()
    }
    return _Frame(segment.marker == _SOF2, width, height, blocks)


def _scan_scans(
    data: bytes, first: _Segment, frame: _Frame, kept: list[bytes | memoryview], counter: PartCounter
) -> Structure:
    samples = 64 * sum(frame.blocks.values())
    names = _components(data, first, frame)
    stored = 4 if len(frame.blocks) > 1 else 1
    memory = pixel_bytes(frame.width, frame.height, stored, is_rgb=len(frame.blocks) == 3)
    cpu_s = len(data) * _S_PER_BYTE + samples * _S_PER_SAMPLE
    view = memoryview(data)
    if not frame.is_progressive and len(names) == len(frame.blocks):
        # One scan has all: libjpeg keeps no coefficients, and needs nothing of what follows.
        return Structure("JPEG", frame.width, frame.height, cpu_s, memory, parts=(*kept, view[first.start :]))
    scans = blocks = 0
    segment = first
    while segment.marker != _EOI:
        counter.take()
        start, end = segment.start, segment.end
        if segment.marker == _SOS:
            scans += 1
            blocks += sum(frame.blocks[name] for name in _components(data, segment, frame))
            end = _end_of_entropy_coded_data(data, end)
        if segment.marker == _SOS or segment.marker in _TABLES:
            kept.append(view[start:end])
        elif segment.marker in _FRAMES or segment.marker in _OTHER_FRAMES:
            raise DamagedImageError("a frame after a scan")
        segment = _segment_or_end(data, end)
    kept.append(b"\xff\xd9")
    cpu_s += blocks * _S_PER_BLOCK_OF_A_SCAN + scans * _S_PER_SCAN
    return Structure("JPEG", frame.width, frame.height, cpu_s, memory, other_bytes=2 * samples, parts=tuple(kept))


def _segment_or_end(data: bytes, position: int) -> _Segment:
    found = _MARKER.search(data, position)
    if found and data[found.start(1)] == _EOI:
        return _Segment(_EOI, found.start(), found.end())
    return _next_segment(data, position)


def _end_of_entropy_coded_data(data: bytes, position: int) -> int:
    found = _END_OF_ENTROPY_CODED_DATA.search(data, position)
    if found is None:
        raise TruncatedImageError("JPEG: no end of a scan")
    return found.start()


def _components(data: bytes, segment: _Segment, frame: _Frame) -> bytes:
    count = data[segment.start + 4]
    names = data[segment.start + 5 : segment.end - 3 : 2]
    if len(names) != count or not names or not frame.blocks.keys() >= set(names) or len(set(names)) != count:
        raise DamagedImageError("a scan of components that the frame has not")
    return names


def _refuse(kind: str) -> None:
    article = "An" if kind[0] in "a8" else "A"
    raise UnsupportedFormatError(
        f"JPEG: {kind}",
        detail=f"{article} {kind} JPEG is not accepted. Save it as a baseline or progressive JPEG of 8 bits.",
    )
