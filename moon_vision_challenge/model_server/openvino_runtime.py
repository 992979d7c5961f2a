"""Runs model.onnx with OpenVINO, which is an optional extra: requirements/openvino.txt."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from moon_vision_challenge.model_server.onnx_signatures import SIGNATURES_PROPERTY, ModelOfOnnxFile, OnnxSignatures
from moon_vision_challenge.model_server.runtime import InvalidInputError, ModelLoadError, TensorSpec

# OpenVINO's converter, which nothing here needs, reports each import to Google Analytics and writes to the home folder.
# None makes its import fail, and OpenVINO continues without it.
sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
import openvino  # noqa: E402

_DTYPES = {
    "f32": "DT_FLOAT",
    "f64": "DT_DOUBLE",
    "f16": "DT_HALF",
    "boolean": "DT_BOOL",
    **{f"u{bits}": f"DT_UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"i{bits}": f"DT_INT{bits}" for bits in (8, 16, 32, 64)},
}


def _tensor_info(port: Any) -> TensorSpec:
    type_name = port.get_element_type().get_type_name()
    if type_name not in _DTYPES:
        raise ModelLoadError(f"the tensor {port.get_any_name()} has the type {type_name}: run it with onnxruntime")
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        raise ModelLoadError(f"the tensor {port.get_any_name()} has any number of dimensions: run it with onnxruntime")
    sizes = tuple(-1 if size.is_dynamic else size.get_length() for size in shape)
    return TensorSpec(port.get_any_name(), _DTYPES[type_name], sizes)


class OpenVinoModel(ModelOfOnnxFile):
    """A compiled model with one execution stream and one request for each thread that calls it.

    Args:
        threads: how many threads call `run` at once.
        precision: that of the layers that are not quantized: "f32", or "bf16" if the model tolerates it.

    Raises ModelLoadError.
    """

    def __init__(self, path: Path, *, threads: int, precision: str = "f32") -> None:
        options = {
            "INFERENCE_PRECISION_HINT": precision,  # by default, it is bf16 where the processor supports it
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,  # one thread per run
            "ENABLE_CPU_PINNING": False,  # the web server's processes share the cores
            "ENABLE_MMAP": False,  # the file may be overwritten
        }
        self._precision = precision
        self._requests: SimpleQueue[Any] = SimpleQueue()
        try:
            core = openvino.Core()
            core.set_property({"ENABLE_MMAP": options.pop("ENABLE_MMAP")})
            model = core.read_model(path)
            inputs = {spec.name: spec for spec in map(_tensor_info, model.inputs)}
            outputs = {spec.name: spec for spec in map(_tensor_info, model.outputs)}
            place = ["framework", SIGNATURES_PROPERTY]
            text = model.get_rt_info(place).astype(str) if model.has_rt_info(place) else None
            self._signatures = OnnxSignatures(inputs, outputs, text)
            self._model = core.compile_model(model, "CPU", options)
            zeros = self._signatures.zeros()
            for _ in range(threads):
                self._requests.put(request := self._model.create_infer_request())
                if zeros is not None:  # so that no client's request pays for allocation
                    _infer(request, zeros)
        except RuntimeError as error:
            raise ModelLoadError(f"OpenVINO cannot load it: {error}") from error

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See Runtime.run."""
        outputs = self.signatures[signature_name].outputs
        with self._request() as request:
            try:
                _infer(request, self._signatures.feeds(signature_name, inputs))
            except RuntimeError as error:
                raise InvalidInputError(str(error)) from error
            return {alias: request.get_tensor(info.name).data.copy() for alias, info in outputs.items()}

    @contextmanager
    def _request(self) -> Iterator[Any]:
        request = self._requests.get()
        try:
            yield request
        finally:
            self._requests.put(request)


def _infer(request: Any, feeds: Mapping[str, np.ndarray]) -> None:
    """Run in one of OpenVINO's threads. `infer`, which runs in the caller's thread, has crashed under load."""
    for name, array in feeds.items():
        request.set_tensor(name, openvino.Tensor(np.ascontiguousarray(array)))
    request.start_async()
    request.wait()
