"""The only HTTP client for the model servers, which may speak any of the `protocols`."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import requests
from urllib3.exceptions import ReadTimeoutError

from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
)
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.classification.serving.address import ModelAddress
from moon_vision_challenge.classification.serving.hang import HangGuard
from moon_vision_challenge.classification.serving.payload import as_lists
from moon_vision_challenge.classification.serving.protocols import protocol_of
from moon_vision_challenge.observability import metrics, tracing
from moon_vision_challenge.observability.span import Kind


def predict(url: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Send a request to a model, and return the body of the reply: `predictions` (row format) or `outputs` (columns).

    The payload is that of TensorFlow Serving: `instances` or `inputs`, and perhaps `signature_name`. It may hold NumPy
    arrays and scalars. Bytes are sent as {"b64": ...}. For an `/infer` URL, the payload is translated to the Open
    Inference Protocol, and the reply is translated back.

    Raises:
        ModelServerUnavailableError: the connection failed or broke, the server answered 503, or it is known to hang.
        ModelServerTimeoutError: the server did not answer within TF_SERVING_TIMEOUT_S.
        ModelNotAvailableError: the server does not serve this model.
        ModelVersionNotAvailableError: it does not serve the version that the URL names.
        UnknownVersionLabelError: the model does not have the version label that the URL names.
        InvalidPredictionError: the server refused the request, or its reply is not a prediction.
    """
    body: dict[str, Any] = as_lists(predict_arrays(url, payload))
    return body


def predict_arrays(url: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Do what `predict` does, but return NumPy arrays as values if the server sends binary data."""
    address = ModelAddress.parse(url)
    name = address.name if address else "other"
    with (
        metrics.timed(metrics.model_server_seconds, name),
        tracing.span(f"predict {name}", Kind.CLIENT, server__address=url),
        _guard_call(address),
    ):
        return protocol_of(address).predict(url, payload, lambda: metadata.signatures[url])


def get(url: str) -> dict[str, Any]:
    """GET the status or the metadata of a model from the server. Raises what `predict` raises.

    The server answers without running a model, so the connection timeout applies.
    """
    return protocol_of(ModelAddress.parse(url)).get(url)


_guards: dict[str, HangGuard] = {}
"""The guard of each model server, by its URL."""


def _guard_call(address: ModelAddress | None) -> AbstractContextManager[None]:
    if address is None:  # another kind of server, which does not report a model's state
        return nullcontext()
    guard = _guards.get(address.base)
    if guard is None:
        guard = _guards[address.base] = HangGuard(partial(_is_answering, address.at().status))
    return guard.call()


def _is_answering(status_url: str) -> bool:
    try:
        get(status_url)
    except (ModelServerUnavailableError, ModelServerTimeoutError):
        return False
    except ClassificationError:
        return True  # whatever it reports about this model
    return True


def translate_error(error: requests.RequestException) -> ClassificationError:
    """Translate the failed request of a classificator that calls `requests` itself into a ClassificationError."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        response = error.response
        address = ModelAddress.parse(response.url)
        cause = protocol_of(address).cause(address, response.status_code, response.text)
        return cause(f"{error}: {response.text[:500]}")
    # `requests` reports a body that stops halfway as a ConnectionError that wraps urllib3's timeout.
    timed_out = isinstance(error, requests.ReadTimeout) or any(isinstance(arg, ReadTimeoutError) for arg in error.args)
    if timed_out:
        return ModelServerTimeoutError(repr(error))
    if isinstance(error, requests.JSONDecodeError):
        return InvalidPredictionError(repr(error))
    return ModelServerUnavailableError(repr(error))
