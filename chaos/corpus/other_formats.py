"""Files in formats that are known but not accepted, and files without a format."""

from functools import partial

from chaos.corpus.case import Case, Verdict, encode, photo

STARTS = {
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 ",
    "JPEG 2000 code stream": b"\xff\x4f\xff\x51\0\x2f",
    "JPEG XL": b"\xff\x0a\xfa\x7f",
    "JPEG XL container": b"\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG XR": b"II\xbc\x01",
    "PSD": b"8BPS\0\1\0\0\0\0\0\0\0\3",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "SVG with a prologue": b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg/>",
    "PDF": b"%PDF-1.7\n",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "ICO": b"\0\0\1\0\1\0\x10\x10",
    "CUR": b"\0\0\2\0\1\0\x10\x10",
    "DDS": b"DDS \x7c\0\0\0",
    "OpenEXR": b"v/1\1\2\0\0\0",
    "Radiance HDR": b"#?RADIANCE\n",
    "QOI": b"qoif\0\0\0\1",
    "PPM": b"P6\n2 2\n255\n",
    "PCX": b"\x0a\5\1\x08\0\0\0\0",
    "XCF": b"gimp xcf v011\0",
    "FITS": b"SIMPLE  =                    T",
    "DICOM": bytes(128) + b"DICM",
    "DjVu": b"AT&TFORM\0\0\0\0DJVU",
    "camera raw": b"FUJIFILMCCD-RAW 0201",
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "MP4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    "WebM": b"\x1aE\xdf\xa3\x01\0\0\0",
    "AVI": b"RIFF\0\0\0\0AVI LIST",
    "WAV": b"RIFF\0\0\0\0WAVEfmt ",
    "HTML": b"<!DOCTYPE html><html>",
    "ZIP": b"PK\3\4\x14\0",
    "gzip": b"\x1f\x8b\x08\0",
    "TGA": bytes(100) + b"TRUEVISION-XFILE.\0",
    "text": b"not an image",
    "comments of a drawing, and no drawing": b"<!---->" * 500,
    "comments that do not end": b"<!--" * 900,
    "half a data type declaration": b"<!DOCTYPE svg" * 300,
    "zeros": bytes(1000),
    "one byte": b"\xff",
    "base64 of a JPEG": b"/9j/4AAQSkZJRgABAQ",
}

_ENCODED = ("ICO", "JPEG2000", "PPM", "PCX", "SGI", "DDS", "ICNS", "TGA", "QOI")

CASES = (
    *[
        Case(
            f"other: {name}",
            partial(bytes.ljust, start, 4000 if name != "TGA" else 0, b"\1" if name != "zeros" else b"\0"),
            Verdict.UNSUPPORTED,
        )
        for name, start in STARTS.items()
    ],
    *[Case(f"other: {name} by Pillow", partial(encode, photo(64, 64), name), Verdict.UNSUPPORTED) for name in _ENCODED],
)
