"""The REST API of the Open Inference Protocol (KServe v2): Triton, OpenVINO Model Server, KServe, MLServer, and ours.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    UnknownVersionLabelError,
    VersionNotSelectableError,
)
from moon_vision_challenge.classification.serving import open_inference_payload as translation
from moon_vision_challenge.classification.serving import transport
from moon_vision_challenge.classification.serving.address import ModelAddress
from moon_vision_challenge.classification.serving.expiring_cache import ExpiringCache
from moon_vision_challenge.classification.serving.protocol import (
    DEFAULT_SIGNATURE,
    ModelStatus,
    ServingProtocol,
    Signature,
    Signatures,
    TensorInfo,
    VersionStatus,
    not_available,
)
from moon_vision_challenge.tensor_data import (
    BINARY_EXTENSION,
    TensorError,
    check_shape,
    datatype_of,
    from_binary,
    from_json,
    tensorflow_type,
    to_binary,
    to_json,
)

_EXTENSIONS_TTL_S = 300.0

# What servers report about a model that they do not serve, with the status 400, 503, or 404.
_NOT_SERVED = re.compile(r"unknown model|\bmodel\b.{0,300}(not ready|not at ready|not found|not exist)", re.IGNORECASE)

Arrays = dict[str, "np.ndarray[Any, Any]"]


def _read_extensions(server_url: str) -> frozenset[str]:
    reply = transport.get(server_url)
    if reply.status != 200:  # the protocol requires an answer, but a model works without one
        return frozenset()
    found = reply.json(server_url).get("extensions")
    return frozenset(one for one in found if isinstance(one, str)) if isinstance(found, list) else frozenset()


extensions: ExpiringCache[frozenset[str]] = ExpiringCache(_read_extensions, _EXTENSIONS_TTL_S)
"""The extensions that a server supports, by the URL of its API."""


class OpenInference(ServingProtocol):
    def predict(self, url: str, payload: dict[str, Any], signatures: Callable[[], Signatures]) -> dict[str, Any]:
        [signature] = signatures().values()
        try:
            inputs = translation.read_payload(payload, signature.inputs)
            outputs = self._infer(url, inputs, signature)
            return translation.write_body(payload, outputs)
        except TensorError as error:
            raise InvalidPredictionError(f"{url}: {error}") from error

    def signatures(self, address: ModelAddress) -> Signatures:
        body = self.get(address.metadata)
        try:
            return {DEFAULT_SIGNATURE: Signature(_tensors(body["inputs"]), _tensors(body["outputs"]))}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidPredictionError(
                f"{address.metadata}: the reply is not a model's metadata: {error!r}"
            ) from error

    def status(self, address: ModelAddress) -> ModelStatus:
        names = self.get(address.status).get("versions") or []
        is_ready = transport.get(f"{address.status}/ready").status == 200
        if not isinstance(names, list):
            raise InvalidPredictionError(f"{address.status}: the versions are not a list: {names!r:.100}")
        numbers = sorted((int(name) for name in map(str, names) if name.isdecimal() and name.isascii()), reverse=True)
        state = "AVAILABLE" if is_ready else "LOADING"
        return ModelStatus(
            [VersionStatus(number, state) for number in numbers],
            is_available_unversioned=is_ready and not numbers,
        )

    def cause(self, address: ModelAddress | None, status: int, text: str) -> type[ClassificationError]:
        if status == 501 and address and not address.is_newest:
            return VersionNotSelectableError  # KServe
        if address and address.label and (status == 404 or (status == 400 and "version" in text)):
            return UnknownVersionLabelError
        if status in (400, 503) and _NOT_SERVED.search(text):
            return not_available(address)
        return super().cause(address, status, text)

    def _infer(self, url: str, inputs: Arrays, signature: Signature) -> Arrays:
        server = url[: url.index("/models/")]
        datatypes = {name: datatype_of(tensor.dtype) for name, tensor in signature.inputs.items()}
        if BINARY_EXTENSION in extensions[server]:
            data, json_length = _binary_request(inputs, datatypes)
            reply, json_length = transport.post_binary(url, data, json_length)
        else:
            reply = transport.post(url, _json_request(inputs, datatypes))
            json_length = len(reply.content)
        if reply.status != 200:
            extensions.forget(server)  # another server may have taken its place
        content = self.checked(url, reply).content
        body = transport.read_json(url, content if json_length == len(content) else content[:json_length])
        return _read_outputs(url, body, memoryview(content)[json_length:])


def _tensors(infos: list[dict[str, Any]]) -> dict[str, TensorInfo]:
    return {
        info["name"]: TensorInfo(tensorflow_type(info["datatype"]), tuple(map(int, info["shape"]))) for info in infos
    }


def _binary_request(inputs: Arrays, datatypes: Mapping[str, str]) -> tuple[bytes, int]:
    """Return the body, and the length of its JSON."""
    binary = [to_binary(array, datatypes[name]) for name, array in inputs.items()]
    tensors = [(name, array.shape, datatypes[name]) for name, array in inputs.items()]
    head = _binary_head(*zip(tensors, map(len, binary), strict=True))
    return b"".join((head, *binary)), len(head)


@lru_cache
def _binary_head(*tensors: tuple[tuple[str, tuple[int, ...], str], int]) -> bytes:
    inputs = [
        {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}
        for (name, shape, datatype), size in tensors
    ]
    return orjson.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}})


def _json_request(inputs: Arrays, datatypes: Mapping[str, str]) -> bytes:
    tensors = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": datatypes[name],
            "data": to_json(array, datatypes[name]),
        }
        for name, array in inputs.items()
    ]
    return orjson.dumps({"inputs": tensors}, option=orjson.OPT_SERIALIZE_NUMPY)


def _read_outputs(url: str, body: Mapping[str, Any], binary: memoryview) -> Arrays:
    outputs: Arrays = {}
    try:
        for tensor in body["outputs"]:
            name, datatype, shape = tensor["name"], tensor["datatype"], check_shape(tensor["shape"])
            size = (tensor.get("parameters") or {}).get("binary_data_size")
            if size is None:
                outputs[name] = from_json(tensor["data"], datatype, shape)
            else:
                outputs[name] = from_binary(binary[:size], datatype, shape)
                binary = binary[size:]
    except TensorError:
        raise
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidPredictionError(f"{url}: the reply is not an inference: {error!r}") from error
    return outputs
