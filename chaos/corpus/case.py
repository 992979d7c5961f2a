"""A case, and the images that cases are made from."""

import io
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from PIL import Image


class Verdict(StrEnum):
    """The service's verdict on an image, with the default settings."""

    ACCEPTED = "accepted"
    UNSUPPORTED = "unsupported"
    DAMAGED = "damaged"
    CUT_SHORT = "cut short"
    TOO_LARGE = "too large"
    TOO_EXPENSIVE = "too expensive"


class Case(NamedTuple):
    name: str
    make: Callable[[], bytes]
    verdict: Verdict


def photo(width: int = 320, height: int = 240, mode: str = "RGB") -> Image.Image:
    """Return a gradient: black to red from left to right, black to green from top to bottom, and blue 64 everywhere."""
    red = Image.linear_gradient("L").rotate(90).resize((width, height))
    green = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (red, green, Image.new("L", (width, height), 64))).convert(mode)


def encode(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def shorten(data: bytes, eighths: int) -> bytes:
    return data[: len(data) * eighths // 8]


def cut_short(name: str, data: bytes) -> list[Case]:
    """Return the file cut at each eighth of its length."""
    return [
        Case(f"{name}, cut at {part} of 8", partial(shorten, data, part), Verdict.CUT_SHORT) for part in range(1, 8)
    ]
