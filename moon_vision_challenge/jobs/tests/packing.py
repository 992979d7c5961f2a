"""Archives as clients make them, and as attackers do."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping


def zip_of(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tar_of(files: Mapping[str, bytes], mode: str = "w", tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=tar_format) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tar_with(info: tarfile.TarInfo) -> bytes:
    """Return a tar with one entry that has no content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(info)
    return buffer.getvalue()


def with_flags(archive: bytes, flags: int) -> bytes:
    """Return the zip with other flags in its only central header."""
    position = archive.index(b"PK\1\2") + 8
    return archive[:position] + struct.pack("<H", flags) + archive[position + 2 :]


def with_name(data: bytes, name: bytes, unicode_field: bytes) -> bytes:
    """Return a zip with one file, whose name is not UTF-8, and a field for the name in UTF-8."""
    archive = zip_of({"n" * len(name): data}, zipfile.ZIP_STORED).replace(b"n" * len(name), name)
    field = struct.pack("<2H", 0x7075, len(unicode_field)) + unicode_field
    central, end = archive.index(b"PK\1\2"), archive.index(b"PK\5\6")
    header = bytearray(archive[central:end] + field)
    header[30:32] = struct.pack("<H", len(field))
    size, position = struct.unpack("<2L", archive[end + 12 : end + 20])
    return archive[:central] + header + archive[end : end + 12] + struct.pack("<2LH", size + len(field), position, 0)


def with_size(archive: bytes, size: int) -> bytes:
    """Return the zip with another size in its only central header."""
    position = archive.index(b"PK\1\2") + 24
    return archive[:position] + struct.pack("<L", size) + archive[position + 4 :]
