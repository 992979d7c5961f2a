"""What a model file says about itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Tensor(NamedTuple):
    dtype: str
    """The name in TensorFlow's types.proto."""
    shape: tuple[int, ...]
    """The sizes. -1 means any size."""


class Signature(NamedTuple):
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


@dataclass(frozen=True)
class Inspected:
    kind: str
    """ONNX or SavedModel."""
    signatures: Mapping[str, Signature]
    made_with: str
    """The opset, and the program that wrote it."""
    size_bytes: int
    properties: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    """The labels in the graph itself."""
