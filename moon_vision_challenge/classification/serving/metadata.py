"""Reads the versions and signatures of models from the model servers, and caches them."""

from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    ModelNotAvailableError,
)
from moon_vision_challenge.classification.serving.address import ModelAddress
from moon_vision_challenge.classification.serving.expiring_cache import ExpiringCache
from moon_vision_challenge.classification.serving.protocol import (
    ModelStatus,
    Signature,
    Signatures,
    TensorInfo,
    VersionStatus,
)
from moon_vision_challenge.classification.serving.protocols import protocol_of

__all__ = ["ModelStatus", "Signature", "TensorInfo", "VersionStatus"]

SIGNATURES_TTL_S = 300.0
VERSIONS_TTL_S = 5.0

_MAX_REASON = 500  # characters


def _read_signatures(model_url: str) -> Signatures:
    address = ModelAddress.parse(model_url)
    if address is None:
        raise InvalidPredictionError(
            f"{model_url}: this is neither a :predict nor an /infer URL, so its metadata cannot be found"
        )
    return protocol_of(address).signatures(address)


def _read_status(model_url: str) -> ModelStatus:
    address = ModelAddress.parse(model_url)
    if address is None:
        return ModelStatus(None)
    try:
        return protocol_of(address).status(address)
    except ModelNotAvailableError as error:
        return ModelStatus([], error.reason[:_MAX_REASON])
    except ClassificationError:
        return ModelStatus(None)


def is_answering(model_url: str) -> bool:
    """Return whether the model server reports the model's status now. A server that is only busy does."""
    statuses.forget(model_url)
    return statuses[model_url].versions is not None


def version_of_label(labelled_url: str) -> int | None:
    """Return the version with the label in a model's URL, or None if the server does not report it.

    Raises UnknownVersionLabelError, and ModelNotAvailableError if the model is not served.
    """
    address = ModelAddress.parse(labelled_url)
    found = protocol_of(address).status(address).versions if address else None
    return found[0].version if found else None


signatures: ExpiringCache[Signatures] = ExpiringCache(_read_signatures, SIGNATURES_TTL_S)
"""The predict signatures of a model, by its `model_url`. Raises what `tf_serving.predict` raises."""

statuses: ExpiringCache[ModelStatus] = ExpiringCache(_read_status, VERSIONS_TTL_S)
"""The versions of a model, by its `model_url`. Never raises: no answer from a server is also a result."""
