"""Sends requests to model servers over pooled connections, and reports why an answer is missing."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from django.conf import settings

from moon_vision_challenge import http_client
from moon_vision_challenge.classification.exceptions import (
    InvalidPredictionError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
)
from moon_vision_challenge.observability import log_context
from moon_vision_challenge.tensor_data import JSON_LENGTH_HEADER
from moon_vision_challenge.waiting_threads import waiting

_json_connections = http_client.Pool(["Content-Type: application/json", "Accept:"])
_binary_connections = http_client.Pool(["Content-Type: application/octet-stream", "Accept:"])
_JSON_LENGTH = re.compile(rb"^" + JSON_LENGTH_HEADER.encode() + rb":\s*(\d{1,18})\s*$", re.IGNORECASE | re.MULTILINE)


class Reply(NamedTuple):
    """A response with any status."""

    status: int
    content: bytes

    def json(self, url: str) -> dict[str, Any]:
        """Parse the content as a JSON object. Raises InvalidPredictionError."""
        return read_json(url, self.content)

    @property
    def error_message(self) -> str:
        """What the server reports as `error`, or an empty string."""
        try:
            return str(orjson.loads(self.content)["error"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return ""


def read_json(url: str, content: bytes | memoryview) -> dict[str, Any]:
    """Parse a JSON object. Raises InvalidPredictionError."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InvalidPredictionError(f"{url}: the reply is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidPredictionError(f"{url}: the reply is not a JSON object")
    return body


def post(url: str, data: bytes) -> Reply:
    """POST JSON. Raises ModelServerTimeoutError or ModelServerUnavailableError."""
    return _request(_json_connections, url, data, settings.TF_SERVING_TIMEOUT_S)


def post_binary(url: str, data: bytes, json_length: int) -> tuple[Reply, int]:
    """POST JSON followed by binary data. Raises what `post` raises.

    Returns:
        The reply, and the length of its JSON.
    """
    head: list[bytes] = []
    own = (f"{JSON_LENGTH_HEADER}: {json_length}",)
    reply = _request(_binary_connections, url, data, settings.TF_SERVING_TIMEOUT_S, own, head.append)
    found = _JSON_LENGTH.search(b"".join(head))
    return reply, int(found[1]) if found else len(reply.content)


def get(url: str) -> Reply:
    """GET what a server reports without running a model. The connection timeout applies. Raises what `post` raises."""
    with waiting():
        return _request(_json_connections, url, None, settings.TF_SERVING_CONNECT_TIMEOUT_S)


def _request(
    connections: http_client.Pool,
    url: str,
    data: bytes | None,
    timeout_s: float,
    headers: Sequence[str] = (),
    on_header: http_client.OnHeader | None = None,
) -> Reply:
    connect_timeout_s = settings.TF_SERVING_CONNECT_TIMEOUT_S
    traceparent = log_context.current().traceparent
    lines = (*headers, f"traceparent: {traceparent}") if traceparent else headers
    try:
        return Reply(
            *connections.request(
                url,
                data,
                connect_timeout_s=connect_timeout_s,
                timeout_s=timeout_s,
                headers=lines,
                on_header=on_header,
            )
        )
    except http_client.DeadlineExceededError as error:
        raise ModelServerTimeoutError(str(error)) from error
    except http_client.RequestFailedError as error:
        raise ModelServerUnavailableError(str(error)) from error
