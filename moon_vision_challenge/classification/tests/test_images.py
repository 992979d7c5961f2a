import io
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from pytest_django import Settings

from chaos.corpus import Case, Verdict, deep
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.exceptions import ImageTooLargeError, InvalidImageError, UnreadableImageError
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.model_io import pixels
from moon_vision_challenge.model_io.declaration import Declaration


def decode(data: bytes, min_side: int | None = None) -> Image.Image:
    return images.open_image(data).decode(min_side=min_side)


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16)).mean())


@pytest.mark.parametrize("data", pictures.UNREADABLE.values(), ids=pictures.UNREADABLE.keys())
def test_a_damaged_image_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        decode(data)


@pytest.mark.parametrize("data", pictures.UNREADABLE.values(), ids=pictures.UNREADABLE.keys())
def test_a_damaged_image_is_unreadable_at_reduced_scale_too(data: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        decode(data, min_side=1)


@pytest.mark.parametrize(
    ("image_format", "mode"),
    [
        ("JPEG", "RGB"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("GIF", "P"),
        ("WEBP", "RGB"),
        ("WEBP", "RGBA"),
        ("BMP", "RGB"),
        ("TIFF", "RGB"),
        ("TIFF", "CMYK"),
    ],
)
def test_every_format_and_mode_becomes_rgb(image_format: str, mode: str) -> None:
    image = decode(pictures.photo(image_format, mode))
    assert (image.mode, image.size) == ("RGB", (320, 240))
    reference = pictures.gradient(mode=mode).convert("RGB")
    assert mean_difference(image, reference) < 12  # lossy formats and colour spaces; another picture differs by 60


def test_an_animation_gives_its_first_frame() -> None:
    assert decode(pictures.animated_gif()).getpixel((5, 5)) == (255, 0, 0)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    assert decode(pictures.sixteen_bit_png()).getpixel((5, 5)) == (128, 128, 128)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int) -> None:
    assert mean_difference(decode(pictures.rotated_by_exif(orientation)), pictures.gradient()) == 0


def test_an_unknown_exif_orientation_counts_as_upright() -> None:
    assert decode(pictures.rotated_by_exif(99)).size == (320, 240)


def test_an_exif_orientation_that_is_not_a_number_counts_as_upright() -> None:
    # one entry: tag 0x0112, type 2 (text), 4 bytes
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0bad\0\0\0\0\0"
    assert decode(pictures.photo("JPEG", exif=exif)).size == (320, 240)


def test_damaged_exif_does_not_make_a_sound_image_unreadable() -> None:
    assert decode(pictures.photo("JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff" + b"\xff" * 40)).size == (
        320,
        240,
    )


def test_a_bomb_is_refused_before_any_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(ImageTooLargeError):
        images.open_image(pictures.png_bomb(20_000, 20_000))


def test_an_image_above_the_pixel_limit_is_refused_with_the_limit(settings: Settings) -> None:
    settings.INFERENCE_MAX_IMAGE_PIXELS = 320 * 240 - 1
    with pytest.raises(ImageTooLargeError) as caught:
        images.open_image(pictures.photo("PNG"))
    assert "76,799" in caught.value.detail


def test_an_image_at_the_pixel_limit_is_accepted(settings: Settings) -> None:
    settings.INFERENCE_MAX_IMAGE_PIXELS = 320 * 240
    assert decode(pictures.photo("PNG")).size == (320, 240)


def test_a_large_jpeg_is_decoded_at_the_smallest_scale_that_keeps_the_shorter_side() -> None:
    data = pictures.encode(pictures.gradient(4000, 3000), "JPEG")
    assert decode(data, min_side=512).size == (1000, 750)
    assert decode(data, min_side=1).size == (500, 375)
    assert decode(data).size == (4000, 3000)


def test_a_small_jpeg_is_never_reduced_below_the_shorter_side() -> None:
    assert decode(pictures.photo("JPEG"), min_side=512).size == (320, 240)


@pytest.mark.parametrize("size", [(1, 1), (1, 1000), (1000, 1), (640, 480), (224, 224)])
def test_cropping_and_resizing_gives_the_requested_size(size: tuple[int, int]) -> None:
    assert pixels.fit(pictures.gradient(*size), (224, 224), Declaration()).size == (224, 224)


def test_the_default_crop_is_the_central_seven_eighths() -> None:
    image = Image.new("RGB", (512, 256), "red")
    image.paste("blue", (256 - 112, 128 - 112, 256 + 112, 128 + 112))  # exactly the crop
    cut = np.asarray(pixels.fit(image, (224, 224), Declaration()))
    assert (cut == (0, 0, 255)).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (37, 900), (375, 500), (224, 224), (2000, 1500)])
@pytest.mark.parametrize("crop", [0.875, 1.0])
def test_cropping_and_resizing_gives_what_pillow_gives(
    size: tuple[int, int], crop: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cykooz_resizer", reason="there is no wheel for this platform: Pillow resizes")
    image = pictures.gradient(*size)
    ours = np.asarray(pixels.fit(image, (224, 224), Declaration(crop=crop)), np.int16)
    # as on platforms without its wheel
    monkeypatch.setattr("moon_vision_challenge.model_io.pixels.cykooz_resizer", None)
    pillows = np.asarray(pixels.fit(image, (224, 224), Declaration(crop=crop)), np.int16)
    assert np.abs(ours - pillows).max() <= 1


def test_several_threads_resize_at_the_same_time() -> None:
    sides = [*range(100, 400, 25)] * 5

    def resized(side: int) -> bytes:
        return pixels.fit(pictures.gradient(side, side), (224, 224), Declaration()).tobytes()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(resized, sides)) == list(map(resized, sides))


def test_mutated_files_of_every_format_raise_only_invalid_image_errors() -> None:
    chance = random.Random(20)
    seeds = [
        pictures.photo(name, mode) for name in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF") for mode in ("RGB", "L")
    ]
    seeds += [pictures.photo("JPEG", progressive=True), pictures.rotated_by_exif(6)]
    outcomes = {"sound": 0, "invalid": 0}
    for _ in range(1500):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 2, 8))):
            data[chance.randrange(min(len(data), chance.choice((64, 400, 10**9))))] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        try:
            decode(bytes(data), min_side=chance.choice((None, 1, 64)))
            outcomes["sound"] += 1
        except InvalidImageError:
            outcomes["invalid"] += 1
    assert min(outcomes.values()) > 100


def test_the_opened_image_is_not_decoded_yet() -> None:
    data = pictures.photo("JPEG")
    assert images.open_image(data[: len(data) // 2]).size == Image.open(io.BytesIO(data)).size == (320, 240)


def field_error(data: bytes) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        decode(data)
    return caught.value.detail


def test_three_causes_have_three_sentences() -> None:
    jpeg = pictures.photo("JPEG")
    assert field_error(b"hello").startswith("The format is not known. Send JPEG, PNG,")
    assert field_error(pictures.photo("ICO")).startswith(
        "This is a file of the format Windows icon (ICO), which is not"
    )
    assert field_error(jpeg[:2000]).startswith("This image is cut short:")
    assert field_error(jpeg[:3] + bytes(2000) + b"\xff\xd9").startswith("This image is damaged:")


def test_a_format_that_is_not_accepted_is_refused_by_name(settings: Settings) -> None:
    settings.INFERENCE_IMAGE_FORMATS = ["JPEG", "PNG"]
    assert field_error(pictures.photo("TIFF")) == (
        "This is a file of the format TIFF, which is not accepted. Send JPEG or PNG."
    )


def test_transparency_is_dropped() -> None:
    image = Image.new("RGBA", (8, 8), (200, 100, 50, 0))
    assert decode(pictures.encode(image, "PNG")).getpixel((4, 4)) == (200, 100, 50)


@pytest.mark.parametrize(
    "case", [case for case in deep.CASES if case.verdict == Verdict.ACCEPTED], ids=lambda c: c.name
)
def test_a_deep_picture_looks_as_it_does_in_8_bits(case: Case) -> None:
    shown = decode(case.make())
    expected = pictures.gradient(mode="RGB" if "RGB" in case.name else "L").convert("RGB")
    # stretched from the smallest to the largest value: the photo's own black is lighter than that
    stretched = 25 if "-1" in case.name or "1000000000" in case.name or "2147483647" in case.name else 0
    assert mean_difference(shown, expected) <= stretched
