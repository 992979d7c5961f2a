"""Pictures that harm a service that decodes uploads, and sound ones of every kind. They are generated on demand.

This package imports nothing from the service: a verdict is what a client sees.
"""

from chaos.corpus import bmp, deep, gif, iso_media, jpeg, other_formats, png, sound, tiff, webp
from chaos.corpus.case import Case, Verdict

__all__ = ["CASES", "Case", "Verdict"]

CASES: tuple[Case, ...] = (
    *sound.CASES,
    *deep.CASES,
    *jpeg.CASES,
    *png.CASES,
    *gif.CASES,
    *webp.CASES,
    *bmp.CASES,
    *tiff.CASES,
    *iso_media.CASES,
    *other_formats.CASES,
)
