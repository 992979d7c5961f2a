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
    """An input or output of a model, as its metadata describe it."""

    @property
    def dtype(self) -> str:
        """The name of the type in TensorFlow's types.proto: DT_STRING, DT_FLOAT, ..."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes, with -1 for any size. Also empty if the rank is not known."""


def shown_shape(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join("?" if size < 0 else str(size) for size in shape) + "]"
