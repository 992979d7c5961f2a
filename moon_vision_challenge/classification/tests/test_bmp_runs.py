"""Run-length encoding of BMPs, compared with the original levels and with Pillow."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chaos.corpus import bmp, bmp_runs
from chaos.corpus.case import Case, Verdict
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.exceptions import InvalidImageError
from moon_vision_challenge.classification.images.bmp_runs import expand

END_OF_LINE, END = b"\0\0", b"\0\1"
WIDTH = 40

pieces = st.lists(st.tuples(st.booleans(), st.binary(min_size=3, max_size=9)), max_size=12)


def encode_row(row: list[tuple[bool, bytes]], bits: int) -> tuple[bytes, list[int]]:
    """Return the codes and the levels of the pieces of a row: runs of one value, and literal values."""
    codes, levels = b"", list[int]()
    for is_run, values in row:
        if is_run:
            count = len(values)
            codes += bytes([count, values[0]])
            pair = (values[0],) if bits == 8 else (values[0] >> 4, values[0] & 15)
            levels += [pair[index % len(pair)] for index in range(count)]
        else:
            each = [values] if bits == 8 else [bytes([value >> 4, value & 15]) for value in values]
            found = b"".join(each)
            codes += bytes([0, len(found)]) + values + b"\0" * (len(values) & 1)
            levels += found
    return codes + END_OF_LINE, levels


@pytest.mark.parametrize("bits", [4, 8])
@settings(max_examples=150, deadline=None)
@given(rows=st.lists(pieces, min_size=1, max_size=6))
def test_runs_give_the_levels_that_they_were_made_from(bits: int, rows: list[list[tuple[bool, bytes]]]) -> None:
    encoded = [encode_row(row, bits) for row in rows]
    expected = np.zeros((len(rows), WIDTH), np.uint8)
    for line, (_, levels) in zip(expected, encoded, strict=True):
        line[: len(levels)] = levels[:WIDTH]
    found = expand(b"".join(codes for codes, _ in encoded) + END, WIDTH, len(rows), bits)
    assert found.tobytes() == expected.tobytes()


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), bits=st.sampled_from([4, 8]))
def test_any_runs_are_an_image_or_a_clients_error(data: bytes, bits: int) -> None:
    try:
        image = images.open_image(bmp.bitmap(20, 10, bits, 1 if bits == 8 else 2, data)).decode()
    except InvalidImageError:
        return
    assert image.size == (20, 10)


KINDS = ("RLE8, absolute", "RLE4, absolute", "RLE4, runs", "RLE8, runs beyond", "RLE8, deltas of one row")


@pytest.mark.parametrize(
    "case",
    [case for case in bmp_runs.CASES if case.verdict == Verdict.ACCEPTED and case.name[5:].startswith(KINDS)],
    ids=lambda case: case.name,
)
def test_sound_runs_give_the_pixels_that_pillow_gives(case: Case) -> None:
    data = case.make()
    expected = Image.open(io.BytesIO(data)).convert("RGB")
    assert images.open_image(data).decode().tobytes() == expected.tobytes()
