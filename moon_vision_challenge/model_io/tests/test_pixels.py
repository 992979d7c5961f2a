"""Scaling between the nearest pixels is unbiased. NumPy provides the expected values."""

import numpy as np
import pytest
from PIL import Image

from moon_vision_challenge.model_io.declaration import Declaration
from moon_vision_challenge.model_io.pixels import fit
from moon_vision_challenge.model_io.types import Interpolation

NOISE = np.random.default_rng(0).integers(0, 256, (61, 97, 3), np.uint8)


def weight(distance: np.ndarray, interpolation: Interpolation) -> np.ndarray:
    """Return the kernel at each distance: a triangle, or Keys's cubic with a = -0.5."""
    if interpolation == "bilinear":
        triangle: np.ndarray = np.maximum(1 - distance, 0)
        return triangle
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights: np.ndarray = np.select([distance <= 1, distance < 2], [near, far], 0)
    return weights


def matrix(count: int, length: int, interpolation: Interpolation) -> np.ndarray:
    """Return every output pixel as a sum of the pixels of one axis. Pixels beyond the border repeat the border."""
    at = (np.arange(count) + 0.5) * length / count - 0.5
    pixels = np.arange(-3, length + 3)
    weights = weight(np.abs(at[:, np.newaxis] - pixels), interpolation)
    inside = pixels.clip(0, length - 1)
    return np.stack([weights[:, inside == pixel].sum(axis=1) for pixel in range(length)], axis=1)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(20, 30), (61, 97), (7, 200), (200, 7), (1, 1)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_without_antialias_the_nearest_pixels_are_mixed_and_rounded(
    interpolation: Interpolation, size: tuple[int, int], mode: str
) -> None:
    image = Image.fromarray(NOISE if mode == "RGB" else NOISE[:, :, 0])
    how = Declaration(resize="stretch", interpolation=interpolation, antialias=False)
    found = np.asarray(fit(image, size, how)).astype(float)
    rows, columns = matrix(size[0], image.height, interpolation), matrix(size[1], image.width, interpolation)
    expected = np.einsum("yh,hw...,xw->yx...", rows, np.asarray(image, float), columns).clip(0, 255)
    assert np.abs(found - expected).max() <= 0.5 + 1e-6
    assert abs((found - expected).mean()) < 0.1 or found.size < 100


def test_a_letterbox_without_antialias_keeps_its_frame() -> None:
    how = Declaration(resize="letterbox", interpolation="bilinear", antialias=False, pad_color=(1, 2, 3))
    found = np.asarray(fit(Image.fromarray(NOISE), (50, 50), how))
    assert found[0].tolist() == found[-1].tolist() == [[1, 2, 3]] * 50
