"""Converts an image to the pixels that a model needs."""

import numpy as np
from PIL import Image

from moon_vision_challenge.model_io.declaration import Declaration
from moon_vision_challenge.model_io.types import Interpolation

try:
    import cykooz_resizer
except ImportError:  # there is no wheel for this platform: requirements/base.in
    cykooz_resizer = None

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the image."""

_PILLOW = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


def fit(image: Image.Image, size: tuple[int, int], how: Declaration) -> Image.Image:
    """Crop and scale an image of mode RGB or L to (height, width), as declared."""
    height, width = size
    if how.resize == "letterbox":
        return _letterbox(image, size, how)
    if how.resize == "center_crop":
        box = _central_box(image.size, size, how.kept)
        if how.interpolation == "bicubic" and how.antialias and image.mode == "RGB":
            return _scale_bicubic(image, box, (width, height))
    else:
        box = _box_after_resize(image.size, size, how)
    return scale(image, box, (width, height), how.interpolation, antialias=how.antialias)


def scaled_side(size: tuple[int, int], how: Declaration) -> int:
    """Return the size that `shorter_side` scales to, in pixels."""
    return how.shorter_side or round(max(size) / how.kept)


def needed_side(size: tuple[int, int], how: Declaration) -> int | None:
    """Return the shorter side below which an image should not be reduced before `fit`, in pixels. None: never reduce.

    It is twice the size that `fit` scales to, so that a reduced JPEG keeps enough detail for the filter that follows.
    """
    if how.interpolation in ("nearest", "area") or not how.antialias:
        return None
    if how.resize == "shorter_side":
        return 2 * scaled_side(size, how)
    return 2 * round(max(size) / (1 if how.resize == "letterbox" else how.kept))


def scale(
    image: Image.Image, box: Box, size: tuple[int, int], interpolation: Interpolation, *, antialias: bool = True
) -> Image.Image:
    """Scale a box of an image to (width, height), like the libraries that trainers use."""
    if interpolation == "area":
        return _mean_of_areas(image, box, size)
    if not antialias and interpolation != "nearest":
        return _between_nearest(image, box, size, interpolation)
    return image.resize(size, _PILLOW[interpolation], box=box)


def _scale_bicubic(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """Do what `scale` does in a sixth of the time, if cykooz_resizer is installed.

    In photos, one value in six differs from Pillow's by 1, and a few by up to 6. A JPEG of quality 95 differs as much.
    """
    if cykooz_resizer is None:
        return scale(image, box, size, "bicubic")
    left, top, right, bottom = box
    options = cykooz_resizer.ResizeOptions(
        # The Catmull-Rom filter is the cubic with a = -0.5, as in Pillow.
        resize_alg=cykooz_resizer.ResizeAlg.convolution(cykooz_resizer.FilterType.catmull_rom),
        crop_box=cykooz_resizer.CropBox(left, top, right - left, bottom - top),
    )
    resized = Image.new(image.mode, size)
    # One resizer per call: a shared one makes callers wait, and it keeps buffers as large as the largest image.
    cykooz_resizer.Resizer().resize_pil(image, resized, options)
    return resized


def _central_box(image_size: tuple[int, int], size: tuple[int, int], crop: float) -> Box:
    """Return the largest central rectangle with the aspect ratio of `size`, its sides multiplied by `crop`."""
    (image_width, image_height), (height, width) = image_size, size
    if image_width * height <= image_height * width:
        box_width = crop * image_width
        box_height = box_width * (height / width)
    else:
        box_height = crop * image_height
        box_width = box_height * (width / height)
    left, top = (image_width - box_width) / 2, (image_height - box_height) / 2
    return left, top, left + box_width, top + box_height


def _box_after_resize(image_size: tuple[int, int], size: tuple[int, int], how: Declaration) -> Box:
    """Return the part of the image that a resize and CenterCrop(size) keep. No pixel is computed and then cut off."""
    (image_width, image_height), (height, width) = image_size, size
    if how.resize == "stretch":
        scaled_width, scaled_height = round(width / how.kept), round(height / how.kept)
    else:
        scaled_width, scaled_height = _with_shorter_side(image_size, scaled_side(size, how))
    margins = (scaled_width - width) / 2, (scaled_height - height) / 2
    left, top = (round(margin) if how.margin_rounding == "nearest" else int(margin) for margin in margins)
    across, down = image_width / scaled_width, image_height / scaled_height
    right, bottom = min((left + width) * across, image_width), min((top + height) * down, image_height)
    return left * across, top * down, right, bottom


def _with_shorter_side(image_size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the scaled (width, height), rounded as torchvision and Hugging Face do.

    https://github.com/pytorch/vision/blob/main/torchvision/transforms/functional.py
    """
    width, height = image_size
    shorter = min(image_size)
    return (
        side if width == shorter else int(side * width / shorter),
        side if height == shorter else int(side * height / shorter),
    )


def _letterbox(image: Image.Image, size: tuple[int, int], how: Declaration) -> Image.Image:
    height, width = size
    ratio = min(width / image.width, height / image.height)
    inner = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
    scaled = scale(image, (0, 0, *image.size), inner, how.interpolation, antialias=how.antialias)
    color = how.pad_color
    if image.mode == "L" and not isinstance(color, int):
        color = color[0]
    framed = Image.new(
        image.mode, (width, height), color if isinstance(color, int) and image.mode == "L" else _rgb(color)
    )
    framed.paste(scaled, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return framed


def _rgb(color: int | tuple[int, int, int]) -> tuple[int, int, int]:
    return (color, color, color) if isinstance(color, int) else color


def _between_nearest(image: Image.Image, box: Box, size: tuple[int, int], interpolation: Interpolation) -> Image.Image:
    """Interpolate between the nearest pixels, and round. Image.transform truncates: half a level darker."""
    left, top, right, bottom = box
    columns, column_weights = _nearest(left, right, size[0], image.width, interpolation)
    rows, row_weights = _nearest(top, bottom, size[1], image.height, interpolation)
    pixels = np.asarray(image)
    found = np.zeros((size[1], size[0], *pixels.shape[2:]))
    for row, row_weight in zip(rows, row_weights, strict=True):
        for column, column_weight in zip(columns, column_weights, strict=True):
            weights = np.outer(row_weight, column_weight).reshape((size[1], size[0], *[1] * (pixels.ndim - 2)))
            found += pixels[np.ix_(row, column)] * weights
    return Image.fromarray(np.rint(found).clip(0, 255).astype(np.uint8))


def _nearest(
    start: float, stop: float, count: int, length: int, interpolation: Interpolation
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The pixels that `count` points of one axis lie between, nearest ones of all points first, and their weights."""
    at = start + (np.arange(count) + 0.5) * ((stop - start) / count) - 0.5
    steps = (0, 1) if interpolation == "bilinear" else (-1, 0, 1, 2)
    pixels = [np.floor(at) + step for step in steps]
    kernel = _triangle if interpolation == "bilinear" else _cubic
    return [one.clip(0, length - 1).astype(int) for one in pixels], [kernel(np.abs(at - one)) for one in pixels]


def _triangle(distance: np.ndarray) -> np.ndarray:
    weights: np.ndarray = 1 - distance
    return weights


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Return the weights of Keys's cubic with a = -0.5, as in Pillow and tf.image.resize."""
    near, far = (1.5 * distance - 2.5) * distance**2 + 1, ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights: np.ndarray = np.where(distance <= 1, near, far)
    return weights


def _mean_of_areas(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    left, top, right, bottom = box
    pixels = np.asarray(image, np.float64)
    pixels = _mean_along(pixels, 1, left, right, size[0])
    pixels = _mean_along(pixels, 0, top, bottom, size[1])
    return Image.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8))


def _mean_along(pixels: np.ndarray, axis: int, start: float, stop: float, count: int) -> np.ndarray:
    """Return the means of `count` equal parts of one axis: differences of the interpolated running sum."""
    sums = np.insert(np.cumsum(pixels, axis), 0, 0, axis)
    edges = np.linspace(start, stop, count + 1).clip(0, pixels.shape[axis])
    whole = np.minimum(edges.astype(int), pixels.shape[axis] - 1)
    part = (edges - whole).reshape([-1 if one == axis else 1 for one in range(pixels.ndim)])
    at_edges = np.take(sums, whole, axis) * (1 - part) + np.take(sums, whole + 1, axis) * part
    means: np.ndarray = np.diff(at_edges, axis=axis) / ((stop - start) / count)
    return means
