"""Bytes → a checked image → RGB pixels → the bytes of a request to a model."""

from moon_vision_challenge.classification.images.encoded import EncodedImage, open_image
from moon_vision_challenge.classification.images.wire import encode_jpeg

__all__ = ["EncodedImage", "encode_jpeg", "open_image"]
