"""TensorFlow Serving's REST API: https://www.tensorflow.org/tfx/serving/api_rest"""

from collections.abc import Callable
from typing import Any

from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    UnknownVersionLabelError,
)
from moon_vision_challenge.classification.serving import payload as payload_json
from moon_vision_challenge.classification.serving import transport
from moon_vision_challenge.classification.serving.address import ModelAddress
from moon_vision_challenge.classification.serving.protocol import (
    ModelStatus,
    ServingProtocol,
    Signature,
    Signatures,
    TensorInfo,
    VersionStatus,
)

_MAX_MESSAGE = 500  # characters

_PREDICT_METHOD = "tensorflow/serving/predict"


class TensorFlowServing(ServingProtocol):
    def predict(self, url: str, payload: dict[str, Any], signatures: Callable[[], Signatures]) -> dict[str, Any]:  # noqa: ARG002
        body = self.checked(url, transport.post(url, payload_json.dump(payload))).json(url)
        if not ("predictions" in body or "outputs" in body):
            raise InvalidPredictionError(f"{url}: neither 'predictions' nor 'outputs' in the reply")
        return body

    def signatures(self, address: ModelAddress) -> Signatures:
        body = self.get(address.metadata)
        try:
            definitions = body["metadata"]["signature_def"]["signature_def"]
            return {
                name: Signature(_tensors(definition.get("inputs", {})), _tensors(definition.get("outputs", {})))
                for name, definition in definitions.items()
                if definition.get("method_name") == _PREDICT_METHOD
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidPredictionError(
                f"{address.metadata}: the reply is not a model's metadata: {error!r}"
            ) from error

    def status(self, address: ModelAddress) -> ModelStatus:
        body = self.get(address.status)
        try:
            found = [
                VersionStatus(int(one["version"]), str(one["state"]), _message(one.get("status")))
                for one in body["model_version_status"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidPredictionError(f"{address.status}: the reply is not a model's status: {error!r}") from error
        versions = sorted(found, reverse=True)
        return ModelStatus(versions, next((one.message for one in versions if one.message), ""))

    def cause(self, address: ModelAddress | None, status: int, text: str) -> type[ClassificationError]:
        # The status is 400, as for a bad input. Only the text shows the cause ("Unrecognized servable version label").
        if status == 400 and address and address.label and "version label" in text:
            return UnknownVersionLabelError
        return super().cause(address, status, text)


def _tensors(infos: dict[str, Any]) -> dict[str, TensorInfo]:
    return {
        alias: TensorInfo(info["dtype"], tuple(int(dim["size"]) for dim in info.get("tensor_shape", {}).get("dim", [])))
        for alias, info in infos.items()
    }


def _message(status: Any) -> str:
    return str(status.get("error_message", ""))[:_MAX_MESSAGE] if isinstance(status, dict) else ""
