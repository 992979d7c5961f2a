"""The REST API of tensorflow_model_server as a WSGI application: https://www.tensorflow.org/tfx/serving/api_rest"""

import functools
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from moon_vision_challenge.model_server.inference_queue import InferenceQueue, QueueFullError
from moon_vision_challenge.model_server.registry import ModelRegistry, ServableNotFoundError, UnknownLabelError
from moon_vision_challenge.model_server.runtime import DEFAULT_SIGNATURE, InvalidInputError, TensorInfo
from moon_vision_challenge.model_server.tensors import parse_request, read_inputs, write_outputs

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE)


_MAX_VERSION = 2**63 - 1
_MAX_VERSION_DIGITS = 4000  # more, Python does not convert


class BodyTooLargeError(ValueError):
    """The request's body is larger than the server takes."""


class MethodNotImplementedError(NotImplementedError):
    """The API has this method, and this server does not."""


class NotFoundError(LookupError):
    """The path is outside the API."""


# http_server.cc of TensorFlow Serving: INVALID_ARGUMENT 400, NOT_FOUND 404, UNIMPLEMENTED 501, UNAVAILABLE 503.
_STATUS_OF_ERROR: dict[type[Exception], HTTPStatus] = {
    InvalidInputError: HTTPStatus.BAD_REQUEST,
    UnknownLabelError: HTTPStatus.BAD_REQUEST,
    ServableNotFoundError: HTTPStatus.NOT_FOUND,
    NotFoundError: HTTPStatus.NOT_FOUND,
    BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MethodNotImplementedError: HTTPStatus.NOT_IMPLEMENTED,
    QueueFullError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class RestApi:
    def __init__(self, registry: ModelRegistry, queue: InferenceQueue, *, max_body_bytes: int) -> None:
        self._registry = registry
        self._queue = queue
        self._max_body_bytes = max_body_bytes

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            status, body = HTTPStatus.OK, self._answer(environ)
        except tuple(_STATUS_OF_ERROR) as error:
            status, body = _STATUS_OF_ERROR[type(error)], orjson.dumps({"error": str(error)})
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]

    def _answer(self, environ: "WSGIEnvironment") -> bytes:
        http_method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if http_method == "POST" and (match := _POST.fullmatch(path)):
            if match["method"].lower() != "predict":
                raise MethodNotImplementedError(f"{match['method']} is not implemented: use predict")
            return self._predict(match, self._read_body(environ))
        if http_method == "GET" and (match := _GET.fullmatch(path)):
            return self._metadata(match) if match["metadata"] else self._status(match)
        if http_method == "GET" and path.lower() == "/v1/models":
            raise InvalidInputError("Missing model name in request.")
        message = f"Malformed request: {http_method} {path}"
        raise InvalidInputError(message) if path.lower().startswith("/v1/") else NotFoundError(message)

    def _read_body(self, environ: "WSGIEnvironment") -> bytes:
        limit = self._max_body_bytes
        length = environ.get("CONTENT_LENGTH") or "0"  # absent when the body comes in chunks
        if length.isdecimal() and int(length) <= limit:
            body: bytes = environ["wsgi.input"].read(limit + 1)
            if len(body) <= limit and "gzip" in environ.get("HTTP_CONTENT_ENCODING", ""):
                body = _inflate(body, limit)
            if len(body) <= limit:
                return body
        raise BodyTooLargeError(f"The request's body is larger than {limit} bytes")

    def _predict(self, match: re.Match[str], body: bytes) -> bytes:
        request = parse_request(body)
        signature_name = request.get("signature_name", "")
        if not isinstance(signature_name, str):
            raise InvalidInputError("'signature_name' key must be a string value.")
        signature_name = signature_name or DEFAULT_SIGNATURE
        _, runtime = self._registry.available(match["name"], *_version(match))
        if signature_name not in runtime.signatures:
            raise InvalidInputError(f'Serving signature name: "{signature_name}" not found in signature def')
        inputs, row_format = read_inputs(request, runtime.signatures[signature_name])
        run = functools.partial(runtime.run, signature_name)
        outputs = self._queue.run(run, runtime.split(signature_name, inputs))
        return write_outputs(_joined(outputs), row_format=row_format)

    def _status(self, match: re.Match[str]) -> bytes:
        return orjson.dumps(
            {
                "model_version_status": [
                    {
                        "version": str(version.version),
                        "state": version.state,
                        "status": {
                            "error_code": "FAILED_PRECONDITION" if version.error else "OK",
                            "error_message": version.error,
                        },
                    }
                    for version in self._registry.versions(match["name"], *_version(match))
                ]
            }
        )

    def _metadata(self, match: re.Match[str]) -> bytes:
        number, runtime = self._registry.available(match["name"], *_version(match))
        signatures = {
            name: {
                "inputs": {alias: _tensor_info(info) for alias, info in signature.inputs.items()},
                "outputs": {alias: _tensor_info(info) for alias, info in signature.outputs.items()},
                "method_name": "tensorflow/serving/predict",
            }
            for name, signature in runtime.signatures.items()
        }
        return orjson.dumps(
            {
                "model_spec": {"name": match["name"], "signature_name": "", "version": str(number)},
                "metadata": {"signature_def": {"signature_def": signatures}},
            }
        )


def _inflate(body: bytes, limit: int) -> bytes:
    """At most limit + 1 bytes of what is in a gzip body, so that a small one cannot fill the memory."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with the header of gzip
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInputError("The request's body is not in gzip format") from error
    if not inflater.eof and len(inflated) <= limit:
        raise InvalidInputError("The request's body in gzip format is cut short")
    return inflated


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
    """One array for each output, of the outputs of a request's parts."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _version(match: re.Match[str]) -> tuple[int | None, str | None]:
    text = match["version"]
    if text and (len(text) > _MAX_VERSION_DIGITS or int(text) > _MAX_VERSION):
        raise InvalidInputError(f"Failed to convert version: {text:.100} to numeric.")
    return int(text) if text else None, match["label"]


def _tensor_info(info: TensorInfo) -> dict[str, Any]:
    return {
        "dtype": info.dtype,
        "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in info.shape], "unknown_rank": False},
        "name": f"{info.name}:0",
    }
