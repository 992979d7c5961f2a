"""The only HTTP client of the model server. Speaks TensorFlow Serving's REST API, over pooled connections.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import orjson
import requests
from django.conf import settings
from urllib3.exceptions import ReadTimeoutError

from moon_vision_challenge import http_client
from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    ModelNotAvailableError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
    ModelVersionNotAvailableError,
    UnknownVersionLabelError,
)
from moon_vision_challenge.classification.serving import payload as payload_json
from moon_vision_challenge.classification.serving.address import ModelAddress
from moon_vision_challenge.classification.serving.hang import HangGuard
from moon_vision_challenge.observability import log_context, metrics, tracing
from moon_vision_challenge.observability.span import Kind

_STATUS_ERRORS: dict[int, type[ClassificationError]] = {
    404: ModelNotAvailableError,  # "Servable not found": not there, or still loading
    429: ModelServerUnavailableError,
    503: ModelServerUnavailableError,
    504: ModelServerTimeoutError,
}
_connections = http_client.Pool(["Content-Type: application/json", "Accept:"])


def predict(url: str, payload: dict[str, Any]) -> dict[str, Any]:
    """POST to a `:predict` URL and return the reply's body: `predictions` (row format) or `outputs` (columns).

    The payload may hold NumPy arrays and scalars. Bytes are sent as {"b64": ...}.

    Raises:
        ModelServerUnavailableError: the connection failed or broke, or the server answers 503, or it is known to hang.
        ModelServerTimeoutError: no answer within TF_SERVING_TIMEOUT_S.
        ModelNotAvailableError: the server does not serve this model.
        ModelVersionNotAvailableError: it does not serve the version that the URL names.
        UnknownVersionLabelError: the model does not have the version label that the URL names.
        InvalidPredictionError: the server refused the request or its reply is not a prediction.
    """
    address = ModelAddress.parse(url)
    name = address.name if address else "other"
    with (
        metrics.timed(metrics.model_server_seconds, name),
        tracing.span(f"predict {name}", Kind.CLIENT, server__address=url),
        _guard_call(address),
    ):
        body = _request(url, data=payload_json.dump(payload))
    if not ("predictions" in body or "outputs" in body):
        raise InvalidPredictionError(f"{url}: neither 'predictions' nor 'outputs' in the reply")
    return body


def get(url: str) -> dict[str, Any]:
    """GET what the server reports about a model: its status or its metadata. Raises as `predict` does.

    The server answers without running a model, so the timeout is the one for a connection.
    """
    return _request(url, timeout_s=settings.TF_SERVING_CONNECT_TIMEOUT_S)


_guards: dict[str, HangGuard] = {}
"""By the address of a model server."""


def _guard_call(address: ModelAddress | None) -> AbstractContextManager[None]:
    if address is None:  # another kind of server, which cannot be asked for a model's state
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
        return True  # whatever it says about this model
    return True


def translate_error(error: requests.RequestException) -> ClassificationError:
    """Translate the failed request of a classificator that calls `requests` itself into an exception of ours."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        response = error.response
        return _cause(response.url, response.status_code, response.text)(f"{error}: {response.text[:500]}")
    # `requests` reports a body that stops halfway as a ConnectionError around urllib3's timeout.
    timed_out = isinstance(error, requests.ReadTimeout) or any(isinstance(arg, ReadTimeoutError) for arg in error.args)
    if timed_out:
        return ModelServerTimeoutError(repr(error))
    if isinstance(error, requests.JSONDecodeError):
        return InvalidPredictionError(repr(error))
    return ModelServerUnavailableError(repr(error))


def _cause(url: str, status: int, text: str) -> type[ClassificationError]:
    cause = _STATUS_ERRORS.get(status, InvalidPredictionError)
    address = ModelAddress.parse(url)
    if cause is ModelNotAvailableError and address and address.version is not None:
        return ModelVersionNotAvailableError
    # 400, as for a bad input. Only its text shows the cause ("Unrecognized servable version label").
    if status == 400 and address and address.label and "version label" in text:
        return UnknownVersionLabelError
    return cause


def _request(url: str, *, data: bytes | None = None, timeout_s: float | None = None) -> dict[str, Any]:
    status, content = _send(url, data, timeout_s or settings.TF_SERVING_TIMEOUT_S)
    if status != 200:
        text = content.decode(errors="replace")
        error = _cause(url, status, text)(f"{url}: {status} {text[:500]}")
        if isinstance(error, ModelNotAvailableError):
            error.reason = _error_message(content)
        raise error
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidPredictionError(f"{url}: the reply is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidPredictionError(f"{url}: the reply is not a JSON object")
    return body


def _error_message(content: bytes) -> str:
    try:
        return str(orjson.loads(content)["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""


def _send(url: str, data: bytes | None, timeout_s: float) -> tuple[int, bytes]:
    connect_timeout_s = settings.TF_SERVING_CONNECT_TIMEOUT_S
    traceparent = log_context.current().traceparent
    headers = [f"traceparent: {traceparent}"] if traceparent else []
    try:
        return _connections.request(
            url, data, connect_timeout_s=connect_timeout_s, timeout_s=timeout_s, headers=headers
        )
    except http_client.DeadlineExceededError as error:
        raise ModelServerTimeoutError(str(error)) from error
    except http_client.RequestFailedError as error:
        raise ModelServerUnavailableError(str(error)) from error
