"""Runs a SavedModel with TensorFlow, which is an optional extra: requirements/tensorflow.txt.

The first run with a batch size optimizes and allocates. To keep that out of clients' requests, a model runs once with
each of WARM_UP_BATCHES. Inputs of fixed size are generated. Strings of bytes need examples: assets.extra/warmup.json is
a list of the bodies of predict requests, with one instance each.
"""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from moon_vision_challenge.model_server.runtime import (
    DEFAULT_SIGNATURE,
    NUMPY_DTYPES,
    InvalidInputError,
    ModelLoadError,
    SignatureSpec,
    TensorSpec,
)
from moon_vision_challenge.model_server.tensors import read_inputs

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read on import, to hide a note about CPU instructions
import tensorflow as tf

logger = logging.getLogger(__name__)

# One thread per run, as for ONNX models: concurrent requests run in parallel.
tf.config.threading.set_intra_op_parallelism_threads(1)

WARM_UP_BATCHES = (1, 2, 4, 8)
WARM_UP_FILE = Path("assets.extra", "warmup.json")

_DTYPES = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF"}
_LOAD_ERRORS = (OSError, ValueError, KeyError, AttributeError, TypeError, RuntimeError, tf.errors.OpError)


def _tensor_info(name: str, spec: Any) -> TensorSpec:
    dtype = _DTYPES.get(spec.dtype.name, f"DT_{spec.dtype.name.upper()}")
    if dtype not in NUMPY_DTYPES:
        raise ModelLoadError(f"the tensor {name} has the type {spec.dtype.name}, which the REST API cannot carry")
    shape = () if spec.shape.rank is None else tuple(-1 if size is None else size for size in spec.shape)
    return TensorSpec(name, dtype, shape)


class SavedModel:
    def __init__(self, path: Path) -> None:
        """Raises ModelLoadError."""
        try:
            self._model = tf.saved_model.load(str(path))  # its functions hold only weak references to its variables
            self._functions = dict(self._model.signatures)
        except _LOAD_ERRORS as error:  # what the loaders raise for damaged files
            raise ModelLoadError(f"TensorFlow cannot load it: {error}") from error
        if not self._functions:
            raise ModelLoadError("this SavedModel has no signature to serve")
        self._signatures = {
            name: SignatureSpec(
                {key: _tensor_info(key, spec) for key, spec in function.structured_input_signature[1].items()},
                {key: _tensor_info(key, spec) for key, spec in function.structured_outputs.items()},
            )
            for name, function in self._functions.items()
        }
        try:
            self._warm_up(path / WARM_UP_FILE)
        except (OSError, ValueError, KeyError, TypeError) as error:  # InvalidInputError is a ValueError
            raise ModelLoadError(f"it does not run on its warm-up requests: {error}") from error

    @property
    def signatures(self) -> Mapping[str, SignatureSpec]:
        return self._signatures

    def _warm_up(self, path: Path) -> None:
        items: dict[str, dict[str, np.ndarray]] = {}
        for name, signature in self._signatures.items():
            infos = signature.inputs
            if all(info.dtype != "DT_STRING" and min(info.shape[1:], default=1) > 0 for info in infos.values()):
                items[name] = {
                    key: np.zeros((1, *info.shape[1:]), NUMPY_DTYPES[info.dtype])
                    for key, info in infos.items()
                    if info.shape[:1] == (-1,)
                }
        for request in json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []:
            name = request.get("signature_name", DEFAULT_SIGNATURE)
            items[name], _ = read_inputs(request, self._signatures[name])
        for name, inputs in items.items():
            if len(inputs) == len(self._signatures[name].inputs):
                for batch in WARM_UP_BATCHES:
                    self.run(name, {key: np.repeat(item, batch, axis=0) for key, item in inputs.items()})

    def split(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> list[Mapping[str, np.ndarray]]:  # noqa: ARG002  # the Runtime's signature
        """See Runtime.split."""
        return [inputs]

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See Runtime.run."""
        function = self._functions[signature_name]
        for key, spec in function.structured_input_signature[1].items():
            if not spec.shape.is_compatible_with(inputs[key].shape):  # TensorFlow itself would continue
                raise InvalidInputError(f"Input {key} has the shape {list(inputs[key].shape)}; {spec.shape} is needed")
        try:
            results = function(**{key: tf.constant(array) for key, array in inputs.items()})
            return {key: result.numpy() for key, result in results.items()}
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise InvalidInputError(getattr(error, "message", str(error))) from error
