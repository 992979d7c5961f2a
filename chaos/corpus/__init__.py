"""Images that harm a service that decodes uploads, and valid ones of every kind. They are generated on demand.

This package imports nothing from the service: a verdict is what a client sees.
"""

from chaos.corpus import (
    bmp,
    bmp_runs,
    boundaries,
    deep,
    gif,
    gif_frames,
    iso_items,
    iso_media,
    jpeg,
    jpeg_segments,
    other_formats,
    png,
    png_chunks,
    polyglots,
    sound,
    tiff,
    tiff_strips,
    webp,
    webp_frames,
)
from chaos.corpus.case import Case, Verdict

__all__ = ["CASES", "Case", "Verdict"]

CASES: tuple[Case, ...] = (
    *sound.CASES,
    *deep.CASES,
    *jpeg.CASES,
    *jpeg_segments.CASES,
    *png.CASES,
    *png_chunks.CASES,
    *gif.CASES,
    *gif_frames.CASES,
    *webp.CASES,
    *webp_frames.CASES,
    *bmp.CASES,
    *bmp_runs.CASES,
    *tiff.CASES,
    *tiff_strips.CASES,
    *iso_media.CASES,
    *iso_items.CASES,
    *other_formats.CASES,
    *polyglots.CASES,
    *boundaries.CASES,
)
