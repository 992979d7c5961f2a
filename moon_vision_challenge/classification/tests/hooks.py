"""Classificators whose hooks return or raise what a test wants."""

import enum
from typing import Any

from PIL import Image

from moon_vision_challenge.classification.tests.test_dispatchers import Complete

IMAGE = Image.new("RGB", (1, 1))


class Colour(str, enum.Enum):  # noqa: UP042  # its str() is not its value
    RED = "red"


class Unshowable:
    def __repr__(self) -> str:
        raise SystemExit("not even this")


def returning(hook: str, value: Any) -> Complete:
    def returns(*_: Any) -> Any:
        return value

    made: Complete = type("Returning", (Complete,), {hook: returns, "__module__": __name__})()
    return made


def raising(hook: str, error: BaseException) -> Complete:
    def raises(*_: Any) -> Any:
        raise error

    made: Complete = type("Raising", (Complete,), {hook: raises, "__module__": __name__})()
    return made


HOOKS = ["preprocess_input", "process_prediction", "decode_predictions", "decode_scores", "process_batch"]
