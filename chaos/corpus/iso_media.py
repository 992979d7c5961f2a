"""AVIF and HEIC: files of ISO/IEC 14496-12 with pictures."""

from functools import partial

from chaos.corpus.case import Case, Verdict, encode, photo

CASES = (
    Case("iso: AVIF", partial(encode, photo(), "AVIF"), Verdict.UNSUPPORTED),
    Case("iso: HEIC", lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500), Verdict.UNSUPPORTED),
)
