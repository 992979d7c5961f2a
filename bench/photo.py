"""The photo that every measurement posts. A formula generates it, so that the project does not need to ship one."""

import io

import numpy as np
from PIL import Image

SIZE = (375, 500)
"""Height and width in pixels: the most frequent size of ImageNet's photos."""


def photo() -> bytes:
    """A JPEG of 87 kB, quality 93, 4:4:4, the same in every run.

    Its amplitudes fall off with frequency as 1/f**1.4, about as in photos of nature (1/f, and a lens in front). The
    decoder therefore has about as much to do as with a photo. Field (1987), https://doi.org/10.1364/JOSAA.4.002379
    """
    height, width = SIZE
    random = np.random.default_rng(seed=1)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = np.inf  # no mean: it is set below
    brightness, red, blue = (
        np.fft.irfft2(np.fft.rfft2(random.standard_normal(SIZE)) / frequency**1.4, SIZE) for _ in range(3)
    )
    channels = [brightness + 0.25 * red, brightness, brightness + 0.25 * blue]
    pixels = 128 + 50 * np.stack(channels, axis=-1) / brightness.std()
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=93, subsampling=0)
    return file.getvalue()
