"""The interface that the service needs from a model server, whatever API the server speaks."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    ModelNotAvailableError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
    ModelVersionNotAvailableError,
)
from moon_vision_challenge.classification.serving import transport
from moon_vision_challenge.classification.serving.address import ModelAddress
from moon_vision_challenge.classification.serving.transport import Reply


class TensorInfo(NamedTuple):
    dtype: str
    """As in TensorFlow's types.proto: DT_STRING, DT_FLOAT, ..."""
    shape: tuple[int, ...]
    """The size of each dimension. -1 means any size. Also empty if the rank is not known."""


class Signature(NamedTuple):
    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


Signatures = dict[str, Signature]

DEFAULT_SIGNATURE = "serving_default"


class VersionStatus(NamedTuple):
    version: int
    state: str
    """As in TensorFlow Serving's get_model_status.proto: START, LOADING, AVAILABLE, UNLOADING, END."""
    message: str = ""
    """What the model server reports about this version, such as why it did not load."""


class ModelStatus(NamedTuple):
    """The versions of a model, newest first, or None if the model server does not report them."""

    versions: list[VersionStatus] | None
    reason: str = ""
    """Why the model is not available, or what its operator should know. Empty if the model server reports nothing."""
    is_available_unversioned: bool = False
    """Whether the model answers, although the server does not number its versions."""

    def serves(self, version: int | None) -> bool:
        """Return whether this version answers, or whether any version does if it is None."""
        if self.is_available_unversioned:
            return version is None
        return any(one.state == "AVAILABLE" and version in (None, one.version) for one in self.versions or [])

    @property
    def is_loading(self) -> bool:
        return any(one.state in ("START", "LOADING") for one in self.versions or [])

    @property
    def newest(self) -> int | None:
        """The version that answers a request without a version: the newest available one."""
        return next((one.version for one in self.versions or [] if one.state == "AVAILABLE"), None)


class ServingProtocol(ABC):
    """The REST API of a kind of model server. All methods raise ClassificationError."""

    status_errors: ClassVar[dict[int, type[ClassificationError]]] = {
        404: ModelNotAvailableError,
        429: ModelServerUnavailableError,
        503: ModelServerUnavailableError,
        504: ModelServerTimeoutError,
    }

    @abstractmethod
    def predict(self, url: str, payload: dict[str, Any], signatures: Callable[[], Signatures]) -> dict[str, Any]:
        """Run a model. Payload and result are those of `client.predict`, but the result may hold NumPy arrays."""

    @abstractmethod
    def signatures(self, address: ModelAddress) -> Signatures:
        """Return the signatures that the model can be called with."""

    @abstractmethod
    def status(self, address: ModelAddress) -> ModelStatus:
        """Return the versions of the model, newest first, or the version of the address."""

    def cause(self, address: ModelAddress | None, status: int, text: str) -> type[ClassificationError]:  # noqa: ARG002
        """Return the exception for the status of a failed request. `text` is the body of the response."""
        cause = self.status_errors.get(status, InvalidPredictionError)
        return not_available(address) if cause is ModelNotAvailableError else cause

    def get(self, url: str) -> dict[str, Any]:
        """GET the JSON object that the server reports about a model."""
        return self.checked(url, transport.get(url)).json(url)

    def checked(self, url: str, reply: Reply) -> Reply:
        """Return the reply if its status is 200."""
        if reply.status == 200:
            return reply
        text = reply.content.decode(errors="replace")
        error = self.cause(ModelAddress.parse(url), reply.status, text)(f"{url}: {reply.status} {text[:500]}")
        if isinstance(error, ModelNotAvailableError):
            error.reason = reply.error_message
        raise error


def not_available(address: ModelAddress | None) -> type[ClassificationError]:
    """Return the error for an address that the server does not know: it lacks the model, or only this version."""
    has_number = address is not None and address.version is not None
    return ModelVersionNotAvailableError if has_number else ModelNotAvailableError
