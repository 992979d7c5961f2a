"""Turns bytes into a checked image, the image into RGB pixels, and the pixels into the bytes of a model request."""

from moon_vision_challenge.classification.images.encoded import EncodedImage, open_image
from moon_vision_challenge.classification.images.wire import encode_jpeg

__all__ = ["EncodedImage", "encode_jpeg", "open_image"]
