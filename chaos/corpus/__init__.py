"""Pictures that harm a service that decodes what it is sent, and sound ones of every kind. Made when they are needed.

Nothing of the service is imported here: a verdict is what a client sees.
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
