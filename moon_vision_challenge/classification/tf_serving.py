"""The only HTTP client of the model server. Speaks TensorFlow Serving's REST API, over pooled connections.

https://www.tensorflow.org/tfx/serving/api_rest
"""

import functools
from typing import Any

import orjson
import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError

from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    ModelNotAvailableError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
    ModelVersionNotAvailableError,
    UnknownVersionLabelError,
)

_STATUS_ERRORS: dict[int, type[ClassificationError]] = {
    404: ModelNotAvailableError,  # "Servable not found": not there, or still loading
    429: ModelServerUnavailableError,
    503: ModelServerUnavailableError,
    504: ModelServerTimeoutError,
}


def predict(url: str, payload: dict[str, Any]) -> dict[str, Any]:
    """POST to a `:predict` URL and return the reply's body: `predictions` (row format) or `outputs` (columns).

    The payload may hold NumPy arrays (C-contiguous).

    Raises:
        ModelServerUnavailableError: no connection, or it broke, or the server says 503.
        ModelServerTimeoutError: no answer within TF_SERVING_TIMEOUT_S.
        ModelNotAvailableError: the server does not serve this model.
        ModelVersionNotAvailableError: it does not serve the version that the URL names.
        UnknownVersionLabelError: the model has no such version label as the URL names.
        InvalidPredictionError: the server refused the request or its reply is no prediction.
    """
    body = _request("POST", url, data=orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY))
    if not ("predictions" in body or "outputs" in body):
        raise InvalidPredictionError(f"{url}: neither 'predictions' nor 'outputs' in the reply")
    return body


def get(url: str) -> dict[str, Any]:
    """GET what the server says about a model: its status or its metadata. Raises as `predict` does.

    It answers such questions without running a model, and so is given no longer than a connection may take.
    """
    return _request("GET", url, timeout_s=settings.TF_SERVING_CONNECT_TIMEOUT_S)


def is_available(model_type: str) -> bool:
    """Whether the model server has a version of this model that answers. Raises as `predict` does."""
    try:
        body = _request("GET", f"{settings.TF_SERVING_URL}/v1/models/{model_type}")
    except ModelNotAvailableError:
        return False
    versions = body.get("model_version_status")
    return isinstance(versions, list) and any(version.get("state") == "AVAILABLE" for version in versions)


def translate_error(error: requests.RequestException) -> ClassificationError:
    """What a failed request to a model server means to us; also for classificators that call `requests` themselves."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _cause(error.response)(f"{error}: {error.response.text[:500]}")
    # A body that stops half-way is a ConnectionError around urllib3's timeout.
    timed_out = isinstance(error, requests.ReadTimeout) or any(isinstance(arg, ReadTimeoutError) for arg in error.args)
    if timed_out:
        return ModelServerTimeoutError(repr(error))
    if isinstance(error, requests.JSONDecodeError):
        return InvalidPredictionError(repr(error))
    return ModelServerUnavailableError(repr(error))


def _cause(response: requests.Response) -> type[ClassificationError]:
    cause = _STATUS_ERRORS.get(response.status_code, InvalidPredictionError)
    if cause is ModelNotAvailableError and "/versions/" in response.url:
        return ModelVersionNotAvailableError
    # 400, as for a bad input; only its text tells ("Unrecognized servable version label").
    if response.status_code == 400 and "/labels/" in response.url and "version label" in response.text:
        return UnknownVersionLabelError
    return cause


def _request(method: str, url: str, *, data: bytes | None = None, timeout_s: float | None = None) -> dict[str, Any]:
    timeout = (settings.TF_SERVING_CONNECT_TIMEOUT_S, timeout_s or settings.TF_SERVING_TIMEOUT_S)
    try:
        request = _prepared_request(method, url).copy()
        request.prepare_body(data, files=None)
        response = _adapter().send(request, timeout=timeout)
        content = response.content
        response.raise_for_status()
    except requests.RequestException as error:
        raise translate_error(error) from error
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidPredictionError(f"{url}: the reply is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidPredictionError(f"{url}: the reply is no JSON object")
    return body


@functools.lru_cache
def _prepared_request(method: str, url: str) -> requests.PreparedRequest:
    # Taking a URL apart and checking it costs as much as sending the request.
    return requests.Request(method, url, headers={"Content-Type": "application/json"}).prepare()


@functools.cache
def _adapter() -> HTTPAdapter:
    # Made at first use, which is after a worker forks: no socket is shared between processes. A Session around it would
    # add cookies, redirects and the environment's proxies, which a neighbour needs none of, and a third to the cost.
    return HTTPAdapter(pool_maxsize=32)
