"""The photos that measurements post. A formula generates them, so that the project does not need to ship any."""

import io

import numpy as np
from PIL import Image

SIZE = (375, 500)
"""The height and width in pixels: the most common size of ImageNet's photos."""


def photo() -> bytes:
    """Return a JPEG of 87 kB, quality 93, 4:4:4, the same in every run."""
    return _encoded(_pixels(SIZE), quality=93, subsampling="4:4:4")


def large_photos() -> dict[str, bytes]:
    """Return JPEGs like those of phones, 4:2:0: 12 MP of 2.5 MB, and 48 MP that show the same scene four times."""
    scene = _pixels((3024, 4032))
    four = np.block([[[scene], [scene[:, ::-1]]], [[scene[::-1]], [scene[::-1, ::-1]]]])
    return {
        name: _encoded(pixels, quality=90, subsampling="4:2:0") for name, pixels in (("12 MP", scene), ("48 MP", four))
    }


def _pixels(size: tuple[int, int]) -> np.ndarray:
    """Return noise whose amplitudes fall off as 1/f**1.4, about as in photos of nature (1/f, and a lens in front).

    The decoder therefore has about as much work as with a photo. Field (1987), https://doi.org/10.1364/JOSAA.4.002379
    """
    height, width = size
    random = np.random.default_rng(seed=1)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf  # no mean: it is set below
    brightness, red, blue = (
        np.fft.irfft2(np.fft.rfft2(random.standard_normal(size)) / frequency**1.4, size) for _ in range(3)
    )
    channels = [brightness + 0.25 * red, brightness, brightness + 0.25 * blue]
    pixels = 128 + 50 * np.stack(channels, axis=-1) / brightness.std()
    found: np.ndarray = pixels.clip(0, 255).astype(np.uint8)
    return found


def _encoded(pixels: np.ndarray, *, quality: int, subsampling: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return file.getvalue()
