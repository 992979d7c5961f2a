"""The models that this project serves."""

from moon_vision_challenge.classification.dispatchers import dispatcher as classificators
from moon_vision_challenge.classification.labels import IMAGENET_LABELS
from moon_vision_challenge.classification.served_model import ServedModelClassificator


@classificators.register
class ResNetClassificator(ServedModelClassificator):
    model_type = "resnet"
    input_size = 224
    labels = IMAGENET_LABELS


@classificators.register
class InceptionClassificator(ServedModelClassificator):
    model_type = "inception"
    input_size = 299
    labels = IMAGENET_LABELS


@classificators.register
class EfficientNetLite0Classificator(ServedModelClassificator):
    model_type = "efficientnet_lite0"
    input_size = 224
    labels = IMAGENET_LABELS
