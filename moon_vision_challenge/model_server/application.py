"""The REST APIs as an RSGI application: https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md

Granian receives requests and sends answers outside Python. The code here runs in one thread, except for inference.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from http import HTTPStatus

import orjson
from granian.rsgi import HTTPProtocol, ProtocolClosed, Scope

from moon_vision_challenge.model_server.bodies import (
    BODY_TIMEOUT_S,
    Body,
    BodyMemory,
    BodyTimeoutError,
    BodyTooLargeError,
)
from moon_vision_challenge.model_server.inference_queue import OverloadedError
from moon_vision_challenge.model_server.monitoring import RequestMetrics
from moon_vision_challenge.model_server.open_inference import Answer, NotReadyError, OpenInferenceApi
from moon_vision_challenge.model_server.registry import ServableNotFoundError, UnknownLabelError
from moon_vision_challenge.model_server.rest import MethodNotImplementedError, NotFoundError, RestApi
from moon_vision_challenge.model_server.runtime import InvalidInputError
from moon_vision_challenge.tensor_data import JSON_LENGTH_HEADER

logger = logging.getLogger(__name__)

# http_server.cc of TensorFlow Serving: INVALID_ARGUMENT 400, NOT_FOUND 404, UNIMPLEMENTED 501, UNAVAILABLE 503.
_STATUS_OF_ERROR: dict[type[Exception], HTTPStatus] = {
    InvalidInputError: HTTPStatus.BAD_REQUEST,
    UnknownLabelError: HTTPStatus.BAD_REQUEST,
    NotReadyError: HTTPStatus.BAD_REQUEST,  # the protocol expects a 4xx
    ServableNotFoundError: HTTPStatus.NOT_FOUND,
    NotFoundError: HTTPStatus.NOT_FOUND,
    BodyTimeoutError: HTTPStatus.REQUEST_TIMEOUT,
    BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MethodNotImplementedError: HTTPStatus.NOT_IMPLEMENTED,
    OverloadedError: HTTPStatus.SERVICE_UNAVAILABLE,
    MemoryError: HTTPStatus.SERVICE_UNAVAILABLE,
}
# The rest of the request is not read, so the connection cannot carry another one.
_CLOSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.SERVICE_UNAVAILABLE}


def status_of(error: Exception) -> HTTPStatus:
    """Return the status of the nearest class in the table. Any other error is a bug, and its status is 500."""
    found = (_STATUS_OF_ERROR[cls] for cls in type(error).__mro__ if cls in _STATUS_OF_ERROR)
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)


class Application:
    def __init__(
        self,
        api: RestApi,
        open_inference: OpenInferenceApi,
        metrics: RequestMetrics,
        *,
        max_body_bytes: int,
        body_timeout_s: float = BODY_TIMEOUT_S,
        metrics_path: str | None = None,
        on_listening: Callable[[], object] = lambda: None,
    ) -> None:
        """`on_listening` is called when the port is open."""
        self._api = api
        self._open_inference = open_inference
        self._metrics = metrics
        self._metrics_path = metrics_path
        self._on_listening = on_listening
        self._memory = BodyMemory(max_body_bytes)
        self._body_timeout_s = body_timeout_s

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon(self._on_listening)  # Granian opens the port before it runs the loop

    async def __call__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        if scope.method == "GET" and scope.path == self._metrics_path:
            protocol.response_str(HTTPStatus.OK, [("content-type", "text/plain; version=0.0.4")], self._metrics.page())
            return
        begin = time.perf_counter()
        body = Body(
            protocol,
            self._memory,
            content_length=_content_length(scope),
            is_gzip="gzip" in scope.headers.get("content-encoding", ""),
            json_length=scope.headers.get(JSON_LENGTH_HEADER, ""),
            timeout_s=self._body_timeout_s,
        )
        try:
            status, answer = HTTPStatus.OK, await self._answer(scope.method, scope.path, body)
        except ProtocolClosed:  # the client has disconnected
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, this client gets JSON and others are unaffected
            status, answer = _failure(error)
        self._metrics.observe(scope.path, status, time.perf_counter() - begin)
        closing = [("connection", "close")] if status in _CLOSING else []
        protocol.response_bytes(status, [*answer.headers, *closing], answer.content)

    async def _answer(self, method: str, path: str, body: Body) -> Answer:
        if path == "/v2" or path.startswith("/v2/"):
            return await self._open_inference.answer(method, path, body)
        return Answer(await self._api.answer(method, path, body))


def _content_length(scope: Scope) -> int | None:
    """Return the length of the body, or None if it is chunked."""
    default = "" if "transfer-encoding" in scope.headers else "0"
    length = scope.headers.get("content-length", default)
    return int(length) if length.isdecimal() and len(length) < 20 else None


def _failure(error: Exception) -> tuple[HTTPStatus, Answer]:
    status = status_of(error)
    message = str(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("A request failed", exc_info=error)
        message = "Internal error. It has been logged."
    elif isinstance(error, MemoryError):
        message = "Not enough memory for this request."
    text = message.encode(errors="replace").decode()  # without lone surrogates
    return status, Answer(orjson.dumps({"error": text}))
