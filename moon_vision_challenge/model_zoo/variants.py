"""The EfficientNet-Lite models that can be built."""

from typing import NamedTuple


class Variant(NamedTuple):
    width: float
    depth: float
    image_size: int  # pixels, both sides


# https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0, 224),
    "efficientnet_lite1": Variant(1.0, 1.1, 240),
    "efficientnet_lite2": Variant(1.1, 1.2, 260),
}
