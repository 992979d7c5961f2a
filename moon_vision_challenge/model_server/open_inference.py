"""The part of the Open Inference Protocol's REST API (KServe v2) that classification needs.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol

The protocol has no signatures: it accepts and returns the tensors of a model's default signature. Its versions are
strings, so a version label can be used instead of a number.
"""

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson

from moon_vision_challenge import __version__
from moon_vision_challenge.model_server.bodies import Body, Parser
from moon_vision_challenge.model_server.inference_queue import InferenceQueue
from moon_vision_challenge.model_server.open_inference_tensors import InferRequest, read_request, write_response
from moon_vision_challenge.model_server.registry import ModelRegistry, ServableNotFoundError
from moon_vision_challenge.model_server.rest import NotFoundError, chosen_version, joined
from moon_vision_challenge.model_server.runtime import DEFAULT_SIGNATURE, Runtime, SignatureSpec, TensorSpec
from moon_vision_challenge.model_server.versions import VersionState
from moon_vision_challenge.tensor_data import BINARY_EXTENSION, JSON_LENGTH_HEADER, datatype_of

_MODEL = r"/v2/models/(?P<name>[^/]+)(?:/versions/(?:(?P<version>[0-9]+)|(?P<label>[^/]+)))?"
_POST = re.compile(_MODEL + r"/infer")
_GET = re.compile(_MODEL + r"(?P<ready>/ready)?")

_SERVER = {"name": "moon_vision_challenge", "version": __version__, "extensions": [BINARY_EXTENSION]}
_JSON = (("content-type", "application/json"),)


class NotReadyError(RuntimeError):
    """A model on the server is not available."""


class Answer(NamedTuple):
    """The body and the headers of a 200."""

    content: bytes
    headers: tuple[tuple[str, str], ...] = _JSON


class InferCall(NamedTuple):
    """What an inference request asks for."""

    version: int
    runtime: Runtime
    request: InferRequest


class OpenInferenceApi:
    """Answers requests with JSON and binary data. Belongs to one event loop."""

    def __init__(self, registry: ModelRegistry, queue: InferenceQueue, parser: Parser) -> None:
        self._registry = registry
        self._queue = queue
        self._parser = parser

    async def answer(self, method: str, path: str, body: Body) -> Answer:
        """Raises one of the errors that have a status in `application`."""
        if method == "POST" and (match := _POST.fullmatch(path)):
            return await self._infer(match, body)
        if method == "GET" and (match := _GET.fullmatch(path)):
            return _json(self._model_ready(match) if match["ready"] else self._metadata(match))
        if method == "GET" and path in _SERVER_PATHS:
            return _json(_SERVER_PATHS[path](self))
        raise NotFoundError(f"Malformed request: {method:.20} {path:.1000}")

    async def _infer(self, match: re.Match[str], body: Body) -> Answer:
        try:
            parse = functools.partial(self._parse_call, match, json_length=body.json_length)
            call = await self._parser.read(body, parse)
            run = functools.partial(call.runtime.run, DEFAULT_SIGNATURE)
            outputs = await self._queue.run(run, call.runtime.split(DEFAULT_SIGNATURE, call.request.inputs))
        finally:
            body.release()
        return self._response(match["name"], call, joined(outputs))

    def _parse_call(self, match: re.Match[str], content: bytes, *, json_length: str) -> InferCall:
        version, runtime = self._registry.available(match["name"], *chosen_version(match))
        return InferCall(version, runtime, read_request(content, json_length, _signature(runtime, match["name"])))

    def _response(self, name: str, call: InferCall, outputs: Mapping[str, "np.ndarray[Any, Any]"]) -> Answer:
        head: dict[str, Any] = {"model_name": name, "model_version": str(call.version)}
        if call.request.id:
            head["id"] = call.request.id
        signature = call.runtime.signatures[DEFAULT_SIGNATURE]
        content, json_length = write_response(head, outputs, signature, call.request)
        if json_length is None:
            return Answer(content)
        binary = (("content-type", "application/octet-stream"), (JSON_LENGTH_HEADER, str(json_length)))
        return Answer(content, binary)

    def _metadata(self, match: re.Match[str]) -> dict[str, Any]:
        choice = chosen_version(match)
        _, runtime = self._registry.available(match["name"], *choice)
        signature = _signature(runtime, match["name"])
        versions = self._registry.versions(match["name"], *choice)
        return {
            "name": match["name"],
            "versions": [str(one.version) for one in versions[::-1] if one.state == VersionState.AVAILABLE],
            "platform": "moon_vision_challenge",
            "inputs": [_tensor_metadata(name, spec) for name, spec in signature.inputs.items()],
            "outputs": [_tensor_metadata(name, spec) for name, spec in signature.outputs.items()],
        }

    def _model_ready(self, match: re.Match[str]) -> dict[str, Any]:
        self._registry.available(match["name"], *chosen_version(match))
        return {"name": match["name"], "ready": True}

    def _server_ready(self) -> dict[str, Any]:
        if names := self._registry.unavailable():
            raise NotReadyError(f"Models that are not available: {', '.join(names)}")
        return {"ready": True}


_SERVER_PATHS: dict[str, Callable[[OpenInferenceApi], dict[str, Any]]] = {
    "/v2": lambda _: _SERVER,
    "/v2/health/live": lambda _: {"live": True},
    "/v2/health/ready": OpenInferenceApi._server_ready,
}


def _json(answer: Mapping[str, Any]) -> Answer:
    return Answer(orjson.dumps(answer))


def _signature(runtime: Runtime, name: str) -> SignatureSpec:
    try:
        return runtime.signatures[DEFAULT_SIGNATURE]
    except KeyError:
        raise ServableNotFoundError(f"Model {name:.200} has no signature {DEFAULT_SIGNATURE}") from None


def _tensor_metadata(name: str, spec: TensorSpec) -> dict[str, Any]:
    return {"name": name, "datatype": datatype_of(spec.dtype), "shape": list(spec.shape)}
