"""Reads the signatures of model.onnx, and turns requests into inputs of its graph, whichever runtime runs it.

Every model has the signature `serving_default`, which is the graph's own inputs and outputs. A model may add
signatures, or replace that one, in its metadata property `serving_signatures`, which is a JSON object such as this:

    {"raw": {"inputs": {"images": {"tensor": "images", "encoding": "raw"}},
             "outputs": {"probabilities": "probabilities"}}}

The names on the left are what clients see, and those on the right are tensors of the graph. An input with the encoding
`raw` is a string tensor to the client: one string of bytes per item, which is the memory of that item in C order,
little-endian. Items of a signature with no other inputs may run separately, so they must be independent.
"""

import json
import math
from collections.abc import Mapping

import numpy as np

from moon_vision_challenge.model_server.runtime import (
    DEFAULT_SIGNATURE,
    NUMPY_DTYPES,
    InvalidInputError,
    ModelLoadError,
    SignatureSpec,
    TensorSpec,
)

SIGNATURES_PROPERTY = "serving_signatures"

# The intermediate results of eight images do not fit into a core's cache: one run of eight can take a fifth longer
# than four runs of two, which several cores can share. docs/decisions/0004-the-model-server-is-one-process.md
_ITEMS_A_RUN = 2


class OnnxSignatures:
    """The signatures of one graph.

    Args:
        inputs, outputs: the tensors of the graph, by name.
        text: the value of the metadata property, if the model has it.

    Raises ModelLoadError.
    """

    def __init__(
        self, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec], text: str | None = None
    ) -> None:
        self._inputs, self._outputs = inputs, outputs
        self._raw: dict[str, set[str]] = {}  # by signature, the inputs that arrive as bytes
        self._split: set[str] = set()  # signatures of any number of items as bytes, with one answer per item
        self.specs = {DEFAULT_SIGNATURE: SignatureSpec(inputs, outputs)}
        """What clients see."""
        try:
            for name, definition in ({} if text is None else json.loads(text)).items():
                self._add(name, definition)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelLoadError(f"its metadata property {SIGNATURES_PROPERTY} is malformed: {error!r}") from error

    def _add(self, name: str, definition: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
        raw = {alias for alias, source in definition["inputs"].items() if source.get("encoding") == "raw"}
        inputs = {alias: self._inputs[source["tensor"]] for alias, source in definition["inputs"].items()}
        outputs = {alias: self._outputs[tensor] for alias, tensor in definition["outputs"].items()}  # type: ignore[index]
        if {tensor.name for tensor in inputs.values()} != set(self._inputs):
            raise ModelLoadError(f"its signature {name} does not feed every input of the graph once")
        for alias in raw:
            tensor = inputs[alias]
            if tensor.dtype == "DT_STRING" or min(tensor.shape[1:], default=-1) < 1:
                raise ModelLoadError(f"its input {tensor.name} cannot be raw bytes: an item must have a fixed size")
            inputs[alias] = TensorSpec(tensor.name, "DT_STRING", tensor.shape[:1])
        self._raw[name] = raw
        self.specs[name] = SignatureSpec(inputs, outputs)
        free = all(tensor.shape[:1] == (-1,) for tensor in [*inputs.values(), *outputs.values()])
        if free and raw == set(inputs):
            self._split.add(name)
            if len(self._inputs) == len(self._outputs) == len(outputs) == 1:  # the same items, as an array
                self._split.add(DEFAULT_SIGNATURE)

    def zeros(self) -> dict[str, np.ndarray] | None:
        """Return inputs for a first run, or None if more than the batch size is free or an input is text."""
        if any(min(info.shape[1:], default=1) < 1 or info.dtype == "DT_STRING" for info in self._inputs.values()):
            return None
        sizes = {name: [max(size, 1) for size in info.shape] for name, info in self._inputs.items()}
        return {name: np.zeros(size, NUMPY_DTYPES[self._inputs[name].dtype]) for name, size in sizes.items()}

    def split(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> list[Mapping[str, np.ndarray]]:
        """See Runtime.split. Items that arrive as bytes are independent."""
        signature = self.specs[signature_name]
        for alias in self._raw.get(signature_name, set()):
            _check_raw(self._inputs[signature.inputs[alias].name], inputs[alias])
        count = max(sum(items.shape[:1]) for items in inputs.values()) if signature_name in self._split else 1
        if count <= _ITEMS_A_RUN:
            return [inputs]
        return [
            {alias: items[first : first + _ITEMS_A_RUN] for alias, items in inputs.items()}
            for first in range(0, count, _ITEMS_A_RUN)
        ]

    def feeds(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the inputs by the graph's names: the bytes of raw inputs as arrays, and the rest unchanged."""
        signature = self.specs[signature_name]
        raw = self._raw.get(signature_name, set())
        feeds: dict[str, np.ndarray] = {}
        for alias, array in inputs.items():
            tensor = self._inputs[signature.inputs[alias].name]
            if alias in raw:
                memory = array[0] if len(array) == 1 else b"".join(array)
                feeds[tensor.name] = np.frombuffer(memory, NUMPY_DTYPES[tensor.dtype]).reshape(-1, *tensor.shape[1:])
            else:
                feeds[tensor.name] = array
        return feeds


class ModelOfOnnxFile:
    """The part that the runtimes of model.onnx share: the signatures, which they set when they load the file."""

    _signatures: OnnxSignatures

    @property
    def signatures(self) -> Mapping[str, SignatureSpec]:
        return self._signatures.specs

    def split(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> list[Mapping[str, np.ndarray]]:
        """See Runtime.split."""
        return self._signatures.split(signature_name, inputs)


def _check_raw(tensor: TensorSpec, items: np.ndarray) -> None:
    expected = math.prod(tensor.shape[1:]) * NUMPY_DTYPES[tensor.dtype].itemsize
    if items.ndim != 1:
        raise InvalidInputError(
            f"{tensor.name} must be one string of bytes per item, not a tensor of rank {items.ndim - 1}"
        )
    for index, item in enumerate(items):
        if len(item) != expected:
            raise InvalidInputError(
                f"item {index} of {tensor.name} has {len(item)} bytes; "
                f"{expected} are needed: {list(tensor.shape[1:])} of {NUMPY_DTYPES[tensor.dtype].name}"
            )
