"""A process decodes as many images at once as it has turns."""

from typing import Any

import pytest
from PIL import Image
from pytest_django import Settings

from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.exceptions import DamagedImageError
from moon_vision_challenge.classification.images import budget, encoded, pixels


@pytest.fixture(autouse=True)
def turns(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> budget.Turns:
    settings.INFERENCE_DECODE_THREADS = 1
    monkeypatch.setattr(encoded, "turns", turns := budget.Turns())
    return turns


def test_an_image_holds_a_turn_while_it_is_decoded(
    jpeg: bytes, monkeypatch: pytest.MonkeyPatch, turns: budget.Turns
) -> None:
    decode, was_free = pixels.decode, []

    def watch(data: bytes, request: pixels.Request) -> Image.Image:
        was_free.append(turns.take().acquire(blocking=False))
        return decode(data, request)

    monkeypatch.setattr(pixels, "decode", watch)
    assert images.open_image(jpeg).decode().mode == "RGB"
    assert was_free == [False]


def test_an_image_that_fails_gives_its_turn_back(jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise DamagedImageError("broken")

    image = images.open_image(jpeg)
    with monkeypatch.context() as patch:
        patch.setattr(pixels, "decode", fail)
        for _ in range(2):
            with pytest.raises(DamagedImageError):
                image.decode()
    assert image.decode().mode == "RGB"


def test_a_fork_has_turns_that_its_parent_holds() -> None:
    turns = budget.Turns()
    with turns.take():
        turns.reset()  # what a fork does
        assert turns.take().acquire(blocking=False)
