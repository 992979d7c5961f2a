"""The only HTTP client of the model server. Speaks TensorFlow Serving's REST API, over pooled connections.

https://www.tensorflow.org/tfx/serving/api_rest
"""

import functools
import os
from typing import Any, NamedTuple

import certifi
import orjson
import requests
import urllib3
from django.conf import settings
from urllib3.exceptions import HTTPError, ReadTimeoutError

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
    """What the failed request of a classificator that calls `requests` itself means to us."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        response = error.response
        return _cause(response.url, response.status_code, response.text)(f"{error}: {response.text[:500]}")
    # A body that stops half-way is a ConnectionError around urllib3's timeout.
    timed_out = isinstance(error, requests.ReadTimeout) or any(isinstance(arg, ReadTimeoutError) for arg in error.args)
    if timed_out:
        return ModelServerTimeoutError(repr(error))
    if isinstance(error, requests.JSONDecodeError):
        return InvalidPredictionError(repr(error))
    return ModelServerUnavailableError(repr(error))


def _cause(url: str, status: int, text: str) -> type[ClassificationError]:
    cause = _STATUS_ERRORS.get(status, InvalidPredictionError)
    if cause is ModelNotAvailableError and "/versions/" in url:
        return ModelVersionNotAvailableError
    # 400, as for a bad input; only its text tells ("Unrecognized servable version label").
    if status == 400 and "/labels/" in url and "version label" in text:
        return UnknownVersionLabelError
    return cause


def _request(method: str, url: str, *, data: bytes | None = None, timeout_s: float | None = None) -> dict[str, Any]:
    timeout = urllib3.Timeout(
        connect=settings.TF_SERVING_CONNECT_TIMEOUT_S, read=timeout_s or settings.TF_SERVING_TIMEOUT_S
    )
    try:
        pool, path, headers = _route(url)
        response = pool.urlopen(method, path, data, headers, timeout=timeout, retries=False, redirect=False)
    except HTTPError as error:
        cause = ModelServerTimeoutError if isinstance(error, ReadTimeoutError) else ModelServerUnavailableError
        raise cause(f"{url}: {error!r}") from error
    content = response.data
    if response.status != 200:
        text = content.decode(errors="replace")
        raise _cause(url, response.status, text)(f"{url}: {response.status} {text[:500]}")
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidPredictionError(f"{url}: the reply is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidPredictionError(f"{url}: the reply is no JSON object")
    return body


class _Route(NamedTuple):
    pool: urllib3.HTTPConnectionPool
    path: str
    headers: dict[str, str]


@functools.lru_cache
def _route(url: str) -> _Route:
    # Taking a URL apart and checking it costs as much as sending the request.
    parsed = urllib3.util.parse_url(url)
    authorization = urllib3.util.make_headers(basic_auth=parsed.auth) if parsed.auth else {}
    headers = {"Content-Type": "application/json", **authorization}
    return _Route(_pools().connection_from_url(url), parsed.request_uri, headers)


@functools.cache
def _pools() -> urllib3.PoolManager:
    # `requests` would add cookies, redirects and the environment's proxies, none of which a neighbour needs, and a
    # third to the cost.
    return urllib3.PoolManager(maxsize=32, ca_certs=certifi.where())


def _forget_connections() -> None:
    _route.cache_clear()
    _pools.cache_clear()


# Two processes on one socket get each other's answers. A Celery worker has asked the model server before it forks:
# it runs Django's checks.
os.register_at_fork(after_in_child=_forget_connections)
