"""What a request to the model may contain: any NumPy array or scalar."""

from typing import Any

import numpy as np
import pytest

from moon_vision_challenge.classification import tf_serving
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.conftest import StartFake

GRID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)

DTYPES = [
    "bool",
    "i1",
    "u1",
    "i2",
    "u2",
    "i4",
    "u4",
    "i8",
    "u8",
    "f2",
    "f4",
    "f8",
    ">f4",
    ">i8",
    "longlong",
    "longdouble",
]


def sent(start_fake: StartFake, value: Any) -> Any:
    server = start_fake(fake.replies(200, {"predictions": [1]}))
    tf_serving.predict(f"{server.url}/v1/models/m:predict", {"instances": value})
    return server.requests[-1][1]["instances"]


@pytest.mark.parametrize(
    "array",
    [
        *(GRID, GRID.T, GRID[::-1], GRID[:, ::2], GRID.transpose(2, 0, 1), np.asfortranarray(GRID)),
        *(np.broadcast_to(np.float32(3), (2, 2)), GRID[:0], np.array(7), np.array(0.5), np.ma.masked_array([1, 2])),
        *(np.array([1, 2]).astype(dtype) for dtype in DTYPES),
        *(np.array(["a", "é"]), np.array([["a"], ["b"]], dtype=object), np.array([[1, 2], [3, 4]]).view(np.matrix)),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_any_array_is_sent_as_nested_lists(start_fake: StartFake, array: np.ndarray) -> None:
    assert sent(start_fake, array) == array.tolist()
    assert sent(start_fake, [{"x": array}]) == [{"x": array.tolist()}]


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_scalar_is_sent_as_a_number(start_fake: StartFake, dtype: str) -> None:
    assert sent(start_fake, [np.ones(1, dtype)[0]]) == [1]


def test_text_and_bytes_are_sent_as_strings(start_fake: StartFake) -> None:
    values = [np.str_("é"), b"\xff\x00", np.bytes_(b"\xff"), np.array([b"\xff"]), np.array([b"\xff"], dtype=object)]
    b64 = {"b64": "/w=="}
    assert sent(start_fake, values) == ["é", {"b64": "/wA="}, b64, [b64], [b64]]


def test_a_large_array_that_is_not_contiguous_is_the_same(start_fake: StartFake) -> None:
    pixels = np.random.default_rng(0).random((224, 224, 3), np.float32).transpose(2, 0, 1)
    np.testing.assert_array_equal(np.array(sent(start_fake, [pixels])[0], np.float32), pixels)


def test_what_json_cannot_hold_is_an_error_that_names_it(start_fake: StartFake) -> None:
    with pytest.raises(TypeError, match="complex"):
        sent(start_fake, np.array([1j]))
