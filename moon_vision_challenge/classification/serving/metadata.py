"""What the model server reports about its models: versions and signatures. The answers are kept for a while.

The replies are those of TensorFlow Serving: https://www.tensorflow.org/tfx/serving/api_rest#model_status_api
"""

import time
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    ModelNotAvailableError,
)
from moon_vision_challenge.classification.serving import client
from moon_vision_challenge.classification.serving.address import ModelAddress

Value = TypeVar("Value")

SIGNATURES_TTL_S = 300.0
VERSIONS_TTL_S = 5.0

_MAX_REASON = 500  # characters

_PREDICT_METHOD = "tensorflow/serving/predict"


class TensorInfo(NamedTuple):
    dtype: str
    """As in TensorFlow's types.proto: DT_STRING, DT_FLOAT, ..."""
    shape: tuple[int, ...]
    """-1: any size. Also empty if the rank is not known."""


class Signature(NamedTuple):
    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


class VersionStatus(NamedTuple):
    version: int
    state: str
    """As in TensorFlow Serving's get_model_status.proto: START, LOADING, AVAILABLE, UNLOADING, END."""
    message: str = ""
    """What the model server reports about this version, such as why it did not load."""


class ModelStatus(NamedTuple):
    """The versions of a model, newest first; None if the model server does not report them."""

    versions: list[VersionStatus] | None
    reason: str = ""
    """Why the model is not available, or what its operator should know. Empty if the model server reports nothing."""

    def serves(self, version: int | None) -> bool:
        """Whether this version answers, or any version for None."""
        return any(one.state == "AVAILABLE" and version in (None, one.version) for one in self.versions or [])

    @property
    def is_loading(self) -> bool:
        return any(one.state in ("START", "LOADING") for one in self.versions or [])

    @property
    def newest(self) -> int | None:
        """The version that answers a request without a version: the newest one that is available."""
        return next((one.version for one in self.versions or [] if one.state == "AVAILABLE"), None)


class ExpiringCache(Generic[Value]):
    """What `load` returned, by URL, for `ttl_s` seconds. Errors are not kept.

    Threads may share it: at worst, two of them load the same value at the same time.
    """

    def __init__(self, load: Callable[[str], Value], ttl_s: float) -> None:
        self._load = load
        self._ttl_s = ttl_s
        self._entries: dict[str, tuple[float, Value]] = {}

    def __getitem__(self, url: str) -> Value:
        entry = self._entries.get(url)
        if entry is None or entry[0] < time.monotonic():
            value = self._load(url)  # loading may take long, so the time to live starts after it
            entry = self._entries[url] = (time.monotonic() + self._ttl_s, value)
        return entry[1]

    def forget(self, url: str) -> None:
        self._entries.pop(url, None)

    def clear(self) -> None:
        self._entries.clear()


def _read_signatures(model_url: str) -> dict[str, Signature]:
    address = ModelAddress.parse(model_url)
    if address is None:
        raise InvalidPredictionError(f"{model_url}: this is not a :predict URL, so its metadata cannot be found")
    url = address.metadata
    body = client.get(url)
    try:
        definitions = body["metadata"]["signature_def"]["signature_def"]
        return {
            name: Signature(_tensors(definition.get("inputs", {})), _tensors(definition.get("outputs", {})))
            for name, definition in definitions.items()
            if definition.get("method_name") == _PREDICT_METHOD
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidPredictionError(f"{url}: the reply is not a model's metadata: {error!r}") from error


def _tensors(infos: dict[str, Any]) -> dict[str, TensorInfo]:
    return {
        alias: TensorInfo(info["dtype"], tuple(int(dim["size"]) for dim in info.get("tensor_shape", {}).get("dim", [])))
        for alias, info in infos.items()
    }


def _read_status(model_url: str) -> ModelStatus:
    address = ModelAddress.parse(model_url)
    if address is None:
        return ModelStatus(None)
    try:
        versions = _versions(address)
        return ModelStatus(versions, next((one.message for one in versions if one.message), ""))
    except ModelNotAvailableError as error:
        return ModelStatus([], error.reason[:_MAX_REASON])
    except ClassificationError:
        return ModelStatus(None)


def _versions(address: ModelAddress) -> list[VersionStatus]:
    body = client.get(address.status)
    try:
        found = [
            VersionStatus(int(one["version"]), str(one["state"]), _message(one.get("status")))
            for one in body["model_version_status"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidPredictionError(f"{address.status}: the reply is not a model's status: {error!r}") from error
    return sorted(found, reverse=True)


def is_answering(model_url: str) -> bool:
    """Whether the model server reports its status now. A server that is only busy does."""
    statuses.forget(model_url)
    return statuses[model_url].versions is not None


def _message(status: Any) -> str:
    return str(status.get("error_message", ""))[:_MAX_REASON] if isinstance(status, dict) else ""


def version_of_label(labelled_url: str) -> int | None:
    """The version that the label in a model's URL points to; None if the server does not report it.

    Raises UnknownVersionLabelError, and ModelNotAvailableError if the model is not served.
    """
    address = ModelAddress.parse(labelled_url)
    found = _versions(address) if address else []
    return found[0].version if found else None


signatures: ExpiringCache[dict[str, Signature]] = ExpiringCache(_read_signatures, SIGNATURES_TTL_S)
"""A model's `:predict` URL → its signatures that predict. Raises as `tf_serving.predict` does."""

statuses: ExpiringCache[ModelStatus] = ExpiringCache(_read_status, VERSIONS_TTL_S)
"""A model's `:predict` URL → its versions. Never raises: a server that does not answer is a result, too."""
