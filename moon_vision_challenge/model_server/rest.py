"""The REST API of tensorflow_model_server: https://www.tensorflow.org/tfx/serving/api_rest"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from moon_vision_challenge.model_server.bodies import Body, Parser
from moon_vision_challenge.model_server.inference_queue import InferenceQueue
from moon_vision_challenge.model_server.registry import ModelRegistry
from moon_vision_challenge.model_server.runtime import DEFAULT_SIGNATURE, InvalidInputError, Runtime, TensorSpec
from moon_vision_challenge.model_server.tensors import parse_request, read_inputs, write_outputs
from moon_vision_challenge.model_server.versions import ModelVersion

_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE)

_MAX_VERSION = 2**63 - 1
_MAX_VERSION_DIGITS = 4000  # Python does not convert longer numbers


class MethodNotImplementedError(NotImplementedError):
    """TensorFlow Serving has this method. This server does not."""


class NotFoundError(LookupError):
    """The path is outside the API."""


class PredictCall(NamedTuple):
    """What a predict request asks for."""

    runtime: Runtime
    signature_name: str
    inputs: dict[str, np.ndarray]
    row_format: bool


class RestApi:
    """Answers requests with JSON. Belongs to one event loop."""

    def __init__(self, registry: ModelRegistry, queue: InferenceQueue, parser: Parser) -> None:
        self._registry = registry
        self._queue = queue
        self._parser = parser

    async def answer(self, method: str, path: str, body: Body) -> bytes:
        """Return the JSON of a 200. Raises one of the errors that have a status in `application`."""
        if method == "POST" and (match := _POST.fullmatch(path)):
            if match["method"].lower() != "predict":
                raise MethodNotImplementedError(f"{match['method']} is not implemented: use predict")
            return await self._predict(match, body)
        if method == "GET" and (match := _GET.fullmatch(path)):
            return self._metadata(match) if match["metadata"] else self._status(match)
        if method == "GET" and path.lower() == "/v1/models":
            raise InvalidInputError("Missing model name in request.")
        message = f"Malformed request: {method:.20} {path:.1000}"
        raise InvalidInputError(message) if path.lower().startswith("/v1/") else NotFoundError(message)

    async def _predict(self, match: re.Match[str], body: Body) -> bytes:
        try:
            call = await self._parser.read(body, functools.partial(self._parse_call, match))
            run = functools.partial(call.runtime.run, call.signature_name)
            outputs = await self._queue.run(run, call.runtime.split(call.signature_name, call.inputs))
        finally:
            body.release()
        return write_outputs(joined(outputs), row_format=call.row_format)

    def _parse_call(self, match: re.Match[str], content: bytes) -> PredictCall:
        request = parse_request(content)
        signature_name = request.get("signature_name", "")
        if not isinstance(signature_name, str):
            raise InvalidInputError("'signature_name' key must be a string value.")
        signature_name = signature_name or DEFAULT_SIGNATURE
        _, runtime = self._registry.available(match["name"], *chosen_version(match))
        if signature_name not in runtime.signatures:
            raise InvalidInputError(f'Serving signature name: "{signature_name:.200}" not found in signature def')
        inputs, row_format = read_inputs(request, runtime.signatures[signature_name])
        return PredictCall(runtime, signature_name, inputs, row_format)

    def _status(self, match: re.Match[str]) -> bytes:
        versions = self._registry.versions(match["name"], *chosen_version(match))
        return orjson.dumps({"model_version_status": [_version_status(version) for version in versions]})

    def _metadata(self, match: re.Match[str]) -> bytes:
        number, runtime = self._registry.available(match["name"], *chosen_version(match))
        signatures = {
            name: {
                "inputs": {alias: _tensor_info(spec) for alias, spec in signature.inputs.items()},
                "outputs": {alias: _tensor_info(spec) for alias, spec in signature.outputs.items()},
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


def joined(parts: Sequence[Mapping[str, np.ndarray]]) -> Mapping[str, np.ndarray]:
    """Join the outputs of a request's parts into one array for each output."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def chosen_version(match: re.Match[str]) -> tuple[int | None, str | None]:
    """Return the version and the label that a path names. Raises InvalidInputError."""
    text = match["version"]
    if text and (len(text) > _MAX_VERSION_DIGITS or int(text) > _MAX_VERSION):
        raise InvalidInputError(f"Failed to convert version: {text:.100} to numeric.")
    return int(text) if text else None, match["label"]


def _version_status(version: ModelVersion) -> dict[str, Any]:
    error_code = "FAILED_PRECONDITION" if version.error else "OK"
    return {
        "version": str(version.version),
        "state": version.state,
        "status": {"error_code": error_code, "error_message": version.error or version.warning},
    }


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    """Return a tensor in the form of TensorFlow's types.proto and tensor_shape.proto."""
    return {
        "dtype": spec.dtype,
        "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in spec.shape], "unknown_rank": False},
        "name": f"{spec.name}:0",
    }
