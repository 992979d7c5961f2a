"""Chooses the protocol for a URL. To add a protocol, list it here, and its URLs in `address`."""

from moon_vision_challenge.classification.serving.address import Api, ModelAddress
from moon_vision_challenge.classification.serving.open_inference import OpenInference
from moon_vision_challenge.classification.serving.protocol import ServingProtocol
from moon_vision_challenge.classification.serving.tensorflow_serving import TensorFlowServing

_PROTOCOLS: dict[Api, ServingProtocol] = {
    Api.TENSORFLOW_SERVING: TensorFlowServing(),
    Api.OPEN_INFERENCE: OpenInference(),
}


def protocol_of(address: ModelAddress | None) -> ServingProtocol:
    """Return the protocol for a URL. A URL of unknown form gets TensorFlow Serving's JSON."""
    return _PROTOCOLS[address.api if address else Api.TENSORFLOW_SERVING]
