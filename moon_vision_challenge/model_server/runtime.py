"""The interface between the server and a runtime that runs a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from moon_vision_challenge.tensor_data import DATATYPES, tensorflow_type

DEFAULT_SIGNATURE = "serving_default"

NUMPY_DTYPES = {tensorflow_type(name): dtype for name, dtype in DATATYPES.items()}
"""The NumPy types by TensorFlow's names of the element types, as /metadata returns them."""


class ModelLoadError(Exception):
    """The model in a version folder cannot be served. The message says why."""


class InvalidInputError(ValueError):
    """The model cannot accept these inputs. It may accept others."""


@dataclass(frozen=True)
class TensorSpec:
    """A tensor as the client sees it: `name` in the graph, `dtype` from NUMPY_DTYPES, -1 for a free dimension."""

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

        Accepts an array of the right dtype for each input of the signature and returns an array for each output.
        Raises InvalidInputError.
        """
