"""The interface between the server and a runtime that runs a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

DEFAULT_SIGNATURE = "serving_default"

# TensorFlow's names of the element types, as /metadata gives them.
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "DT_FLOAT": np.dtype(np.float32),
    "DT_DOUBLE": np.dtype(np.float64),
    "DT_HALF": np.dtype(np.float16),
    "DT_UINT8": np.dtype(np.uint8),
    "DT_INT8": np.dtype(np.int8),
    "DT_UINT16": np.dtype(np.uint16),
    "DT_INT16": np.dtype(np.int16),
    "DT_UINT32": np.dtype(np.uint32),
    "DT_INT32": np.dtype(np.int32),
    "DT_UINT64": np.dtype(np.uint64),
    "DT_INT64": np.dtype(np.int64),
    "DT_BOOL": np.dtype(np.bool_),
    "DT_STRING": np.dtype(object),  # of bytes
}


class ModelLoadError(Exception):
    """The model in a version folder cannot be served. The message says why."""


class InvalidInputError(ValueError):
    """The model cannot take these inputs. It may take others."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as the client sees it: `name` in the graph, `dtype` of NUMPY_DTYPES, -1 for a free dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class SignatureSpec:
    """A way to call a model: the tensors that go in and come out, by the names that clients use."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


class Runtime(Protocol):
    """A loaded model. Several threads call it at once."""

    @property
    def signatures(self) -> Mapping[str, SignatureSpec]: ...

    def split(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> Sequence[Mapping[str, np.ndarray]]:
        """Split a request into the inputs of one or more runs, in the order of its items.

        Raises InvalidInputError.
        """

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the model on one part that `split` returned.

        Takes an array of the right dtype for each input of the signature and returns an array for each output.
        Raises InvalidInputError.
        """
