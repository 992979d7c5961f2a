"""Reads the structure of a JPEG: ITU-T T.81, annex B. The names of the markers are those of the standard."""

import re
import struct
from typing import NamedTuple

from moon_vision_challenge.classification.exceptions import (
    DamagedImageError,
    TruncatedImageError,
    UnsupportedFormatError,
)
from moon_vision_challenge.classification.images import exif
from moon_vision_challenge.classification.images.structure import (
    STORED_RGB_BYTES,
    PartCounter,
    Parts,
    Structure,
    pixel_bytes,
)

# Fill bytes, garbage, and markers without a length before a marker are skipped, as in libjpeg.
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_END_OF_ENTROPY_CODED_DATA = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_WINDOW_BYTES = 32_768
"""The number of bytes that are searched at a time: no other thread runs meanwhile."""

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
_COLOURS = {_APP0: b"JFIF\0", _APP14: b"Adobe"}
"""The segments that declare the colour space, and how they begin."""
_MAX_COLOURS = 8
_FRAME_HEADER = struct.Struct(">BHHB")
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
"""The maximum size of all quantization and Huffman tables before the first scan. Valid tables need 4 kB in total."""

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
    """Component → its number of blocks of 8 x 8 samples."""


def scan(data: bytes, counter: PartCounter) -> Structure:
    """Read all segments before the first scan and, in an image with several scans, those between the scans."""
    kept = _Kept(data)
    frame: _Frame | None = None
    orientation = xmp_orientation = None
    position, tables, colours = 2, 0, 0
    while True:
        counter.take()
        marker, start, end = _next_segment(data, position, counter)
        if marker == _SOS:
            kept.skip(position, start)
            break
        is_kept = True
        if marker in _TABLES:
            tables += end - start
        elif marker in _FRAMES:
            if frame:
                raise DamagedImageError("two frames")
            frame = _read_frame(data, marker, start, end)
        elif marker in _OTHER_FRAMES:
            _refuse(_OTHER_FRAMES[marker])
        elif marker in _COLOURS and data.startswith(_COLOURS[marker], start + 4):
            colours += 1
            is_kept = colours <= _MAX_COLOURS
        else:
            is_kept = False
            if marker == _APP1 and orientation is None and data.startswith(b"Exif\0\0", start + 4):
                orientation = exif.read_orientation(data[start + 4 : end])
            elif marker == _APP1 and xmp_orientation is None and data.startswith(_XMP, start + 4):
                xmp_orientation = exif.read_orientation_of_xmp(data[start + 4 : end])
        kept.skip(position, start if is_kept else end)
        position = end
    if frame is None:
        raise DamagedImageError("a scan before the frame")
    if tables > _MAX_TABLES_BYTES:
        raise DamagedImageError("more tables than an image can use")
    return _turn(_scan_scans(data, (start, end), frame, kept, counter), orientation or xmp_orientation or 1)


class _Kept:
    """The parts of a file that the decoder gets, in as few pieces as possible."""

    def __init__(self, data: bytes) -> None:
        self._view = memoryview(data)
        self._start = 0
        self._parts: list[bytes | memoryview] = []

    def skip(self, start: int, end: int) -> None:
        """Leave out a range that follows all ranges left out before."""
        if start < end:
            if self._start < start:
                self._parts.append(self._view[self._start : start])
            self._start = end

    def parts(self, end: int) -> Parts | None:
        """Return the kept parts. None if nothing was left out."""
        if self._start == 0 and end == len(self._view):
            return None
        return (*self._parts, self._view[self._start : end])


def _turn(structure: Structure, orientation: int) -> Structure:
    if orientation == 1:
        return structure
    memory = pixel_bytes(structure.width, structure.height, STORED_RGB_BYTES, orientation=orientation, is_rgb=True)
    return structure._replace(orientation=orientation, pixel_bytes=max(structure.pixel_bytes, memory))


def search(pattern: re.Pattern[bytes], data: bytes, position: int, counter: PartCounter) -> re.Match[bytes] | None:
    """Return `pattern.search(data, position)`, for a pattern of two bytes."""
    while position < len(data):
        if found := pattern.search(data, position, position + _WINDOW_BYTES + 1):
            return found
        position += _WINDOW_BYTES
        counter.let_others_run()
    return None


def _next_segment(data: bytes, position: int, counter: PartCounter) -> tuple[int, int, int]:
    """Return the marker, its start without fill bytes, and the end of the segment."""
    found = search(_MARKER, data, position, counter)
    if found is None:
        raise TruncatedImageError("JPEG: no more segments")
    start, position = found.span()
    marker = data[start + 1]
    if marker in (_SOI, _EOI):
        raise DamagedImageError("no image before its end" if marker == _EOI else "two beginnings")
    length = data[position] << 8 | data[position + 1]
    end = position + length
    if length < 2:
        raise DamagedImageError("a segment shorter than its length")
    if end > len(data):
        raise TruncatedImageError("JPEG: a segment that the file does not have")
    return marker, start, end


def _read_frame(data: bytes, marker: int, start: int, end: int) -> _Frame:
    precision, height, width, count = _FRAME_HEADER.unpack_from(data, start + 4)
    if precision != 8:
        _refuse(f"{precision}-bit")
    if end - start != 10 + 3 * count:
        raise DamagedImageError("a frame of another length")
    if not width:
        raise DamagedImageError("no columns")
    if not height:
        _refuse("height-in-DNL")
    if count not in (1, 3, 4):
        _refuse(f"{count}-component")
    names = data[start + 10 : end : 3]
    across = [both >> 4 for both in data[start + 11 : end : 3]]
    down = [both & 15 for both in data[start + 11 : end : 3]]
    widest, tallest = max(across), max(down)
    if not (min(across) and min(down) and widest <= 4 and tallest <= 4) or len(set(names)) != count:
        raise DamagedImageError("sampling factors")
    if any(widest % h for h in across) or any(tallest % v for v in down):
        _refuse("fractionally-sampled")
    blocks = {
        name: -(-width * h // (8 * widest)) * -(-height * v // (8 * tallest))
        for name, h, v in zip(names, across, down, strict=True)
    }
    return _Frame(marker == _SOF2, width, height, blocks)


def _scan_scans(data: bytes, first: tuple[int, int], frame: _Frame, kept: _Kept, counter: PartCounter) -> Structure:
    names = _components(data, *first, frame)
    count = len(frame.blocks)
    samples = 64 * sum(frame.blocks.values())
    memory = pixel_bytes(frame.width, frame.height, 4 if count > 1 else 1, is_rgb=count == 3)
    cpu_s = len(data) * _S_PER_BYTE + samples * _S_PER_SAMPLE
    if not frame.is_progressive and len(names) == count:
        # One scan holds all components: libjpeg keeps no coefficients and needs nothing that follows.
        return Structure("JPEG", frame.width, frame.height, cpu_s, memory, parts=kept.parts(len(data)))
    scans = blocks = 0
    marker, (start, end) = _SOS, first
    while marker != _EOI:
        counter.take()
        if marker == _SOS:
            scans += 1
            blocks += sum(frame.blocks[name] for name in _components(data, start, end, frame))
            end = _end_of_entropy_coded_data(data, end, counter)
        elif marker in _FRAMES or marker in _OTHER_FRAMES:
            raise DamagedImageError("a frame after a scan")
        elif marker not in _TABLES:
            kept.skip(start, end)
        position = end
        marker, start, end = _segment_or_end(data, position, counter)
        kept.skip(position, start)
    cpu_s += blocks * _S_PER_BLOCK_OF_A_SCAN + scans * _S_PER_SCAN
    return Structure("JPEG", frame.width, frame.height, cpu_s, memory, other_bytes=2 * samples, parts=kept.parts(end))


def _segment_or_end(data: bytes, position: int, counter: PartCounter) -> tuple[int, int, int]:
    found = search(_MARKER, data, position, counter)
    if found and data[found.start(1)] == _EOI:
        return _EOI, found.start(), found.end()
    return _next_segment(data, position, counter)


def _end_of_entropy_coded_data(data: bytes, position: int, counter: PartCounter) -> int:
    found = search(_END_OF_ENTROPY_CODED_DATA, data, position, counter)
    if found is None:
        raise TruncatedImageError("JPEG: no end of a scan")
    return found.start()


def _components(data: bytes, start: int, end: int, frame: _Frame) -> bytes:
    count = data[start + 4]
    names = data[start + 5 : end - 3 : 2]
    if len(names) != count or not names or not frame.blocks.keys() >= set(names) or len(set(names)) != count:
        raise DamagedImageError("a scan of components that the frame does not have")
    return names


def _refuse(kind: str) -> None:
    article = "An" if kind[0] in "a8" else "A"
    raise UnsupportedFormatError(
        f"JPEG: {kind}",
        detail=f"{article} {kind} JPEG is not accepted. Save it as a baseline or progressive JPEG of 8 bits.",
    )
