"""The values that a declaration may use."""

from typing import Literal, Protocol

Resize = Literal["center_crop", "shorter_side", "stretch", "letterbox"]
MarginRounding = Literal["nearest", "down"]
Interpolation = Literal["bicubic", "bilinear", "nearest", "area", "lanczos"]
Channels = Literal["RGB", "BGR", "grey"]
Layout = Literal["NHWC", "NCHW", "NHW", "flat"]
Activation = Literal["none", "softmax", "sigmoid"]
Numbers = float | tuple[float, ...]


class Tensor(Protocol):
    """An input or output of a model, as in its metadata."""

    @property
    def dtype(self) -> str:
        """As in TensorFlow's types.proto: DT_STRING, DT_FLOAT, ..."""

    @property
    def shape(self) -> tuple[int, ...]:
        """-1: any size. Also empty if the rank is not known."""


def shown_shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join("?" if size < 0 else str(size) for size in shape) + "]"
