"""Bytes → a checked image → RGB pixels → the pixels that a model needs."""

from moon_vision_challenge.classification.images.encoded import EncodedImage, open_image
from moon_vision_challenge.classification.images.resize import crop_and_resize, encode_jpeg

__all__ = ["EncodedImage", "crop_and_resize", "encode_jpeg", "open_image"]
