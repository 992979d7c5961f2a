"""The networks that the zoo exports as SavedModels."""

from typing import NamedTuple

from moon_vision_challenge.model_zoo.variants import VARIANTS


class Architecture(NamedTuple):
    keras_name: str
    module: str  # of keras.applications, with its preprocess_input
    image_size: int  # pixels, both sides


ARCHITECTURES = {
    "resnet": Architecture("ResNet50", "resnet", 224),  # preprocess_input: BGR minus ImageNet's means, as in Caffe
    "inception": Architecture("InceptionV3", "inception_v3", 299),  # preprocess_input: -1 to 1
}
LITE = "efficientnet_lite0"
NAMES = [LITE, *ARCHITECTURES]  # the one that needs no network access comes first


def image_size(name: str) -> int:
    return VARIANTS[name].image_size if name == LITE else ARCHITECTURES[name].image_size
