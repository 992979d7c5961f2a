"""STRIP_IMAGE_METADATA: a stored file loses its metadata and keeps its pixels."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageCms, PngImagePlugin
from pytest_django import Settings
from rest_framework.test import APIClient

from chaos.corpus import CASES, Case, Verdict
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.exceptions import InvalidImageError
from moon_vision_challenge.classification.images.metadata import without_metadata
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.corpus import in_tiers

SECRET = b"52.5200N 13.4050E"
STRIPPED = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


def picture() -> Image.Image:
    """Return a picture whose corners differ, so that its orientation shows."""
    return Image.effect_noise((64, 48), 90).convert("RGB")


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112], block[0x010E], block[0x010F] = orientation, SECRET.decode(), SECRET.decode()
    block.get_ifd(0x8825)[29] = SECRET.decode()  # GPS
    return block.tobytes()


def icc() -> bytes:

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    return profile.tobytes()


def encoded(image_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture().save(file, image_format, **options)
    return file.getvalue()


def jpeg(orientation: int, **options: Any) -> bytes:
    data = encoded("JPEG", exif=exif(orientation), comment=SECRET, icc_profile=icc(), **options)
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + SECRET
    others = b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", 2 + len(xmp)) + xmp for marker in (0xE1, 0xED, 0xEF)
    )
    return data[:2] + others + data[2:] + SECRET  # also after the image


def png(orientation: int, **options: Any) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", SECRET.decode())
    info.add_text("Location", SECRET.decode(), zip=True)
    info.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    info.add(b"prVt", SECRET)
    data = encoded("PNG", exif=exif(orientation), pnginfo=info, icc_profile=icc(), **options)
    time = b"tIME" + bytes(7)
    end = data.rindex(b"IEND") - 4
    return data[:end] + struct.pack(">I", 7) + time + struct.pack(">I", zlib.crc32(time)) + data[end:] + SECRET


def webp(orientation: int, **options: Any) -> bytes:
    return encoded("WEBP", exif=exif(orientation), xmp=SECRET, icc_profile=icc(), **options) + SECRET


CASES_WITH_ORIENTATION: dict[str, Callable[[int], bytes]] = {
    "JPEG": jpeg,
    "progressive JPEG": lambda orientation: jpeg(orientation, progressive=True),
    "JPEG with restarts": lambda orientation: jpeg(orientation, restart_marker_rows=1),
    "PNG": png,
    "lossy WebP": webp,
    "lossless WebP": lambda orientation: webp(orientation, lossless=True),
}


def decode(data: bytes) -> bytes:
    return images.open_image(data).decode().tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", CASES_WITH_ORIENTATION)
def test_the_file_says_nothing_more_and_shows_the_same(name: str, orientation: int) -> None:
    data: bytes = CASES_WITH_ORIENTATION[name](orientation)
    assert SECRET in data
    stripped = without_metadata(images.open_image(data))
    assert SECRET not in stripped
    assert images.open_image(stripped).structure.orientation == orientation
    assert decode(stripped) == decode(data)
    with Image.open(io.BytesIO(stripped)) as after, Image.open(io.BytesIO(data)) as before:
        assert after.info.get("icc_profile") == before.info.get("icc_profile") != None  # noqa: E711
        assert set(after.getexif()) == ({0x0112} if orientation != 1 else set())
        assert after.tobytes() == before.tobytes()


@pytest.mark.parametrize("image_format", STRIPPED)
def test_a_file_without_metadata_stays_as_it_is(image_format: str) -> None:
    data = encoded(image_format)
    assert without_metadata(images.open_image(data)) == data


def test_a_comment_between_the_scans_of_a_progressive_jpeg_goes() -> None:
    data = encoded("JPEG", progressive=True)
    second_scan = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    before = data.rindex(b"\xff\xc4", 0, second_scan)
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(SECRET)) + SECRET
    stripped = without_metadata(images.open_image(data[:before] + comment + data[before:]))
    assert stripped == data


def test_a_thumbnail_in_jfif_goes() -> None:
    data = encoded("JPEG")
    content = data[6:18] + b"\1\1" + b"RGB"
    with_thumbnail = data[:2] + b"\xff\xe0" + struct.pack(">H", 2 + len(content)) + content + data[20:]
    assert without_metadata(images.open_image(with_thumbnail)) == data


def animation(image_format: str) -> bytes:
    file = io.BytesIO()
    frames = [picture().convert("P" if image_format == "GIF" else "RGBA") for _ in range(3)]
    options = {"comment": SECRET} if image_format == "GIF" else {"exif": exif(1)}
    frames[0].save(file, image_format, save_all=True, append_images=frames[1:], loop=3, duration=40, **options)
    return file.getvalue()


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG"])
def test_an_animation_keeps_its_frames(image_format: str) -> None:
    data = animation(image_format)
    stripped = without_metadata(images.open_image(data))
    assert (SECRET in data, SECRET in stripped) == (True, False)
    with Image.open(io.BytesIO(stripped)) as after, Image.open(io.BytesIO(data)) as before:
        assert (after.n_frames, after.info["loop"]) == (before.n_frames, before.info["loop"]) == (3, 3)  # type: ignore[attr-defined]
        for number in range(3):
            after.seek(number)
            before.seek(number)
            assert after.tobytes() == before.tobytes()


@pytest.mark.parametrize("case", in_tiers([case for case in CASES if case.verdict is Verdict.ACCEPTED]))
def test_whatever_is_accepted_is_stripped_or_refused(case: Case) -> None:
    """Covers only the cases of the corpus that are decoded within a moment."""
    image = images.open_image(case.make())
    if image.structure.cpu_s > 0.1:
        pytest.skip("decoding it twice takes long")
    try:
        image.check()
        stripped = without_metadata(image)
    except InvalidImageError:
        return
    assert decode(stripped) == image.decode().tobytes()


@pytest.fixture
def _stripping(settings: Settings, sent: list[int]) -> None:
    settings.STRIP_IMAGE_METADATA = True


@pytest.mark.django_db
@pytest.mark.usefixtures("_stripping")
def test_v1_stores_what_is_left(client: APIClient) -> None:
    data = jpeg(6)
    created = client.post("/api/v1/inferences/", {"model_type": "resnet", "image": pictures.upload(data)})
    assert created.status_code == 201
    assert Inference.objects.get().image.read() == without_metadata(images.open_image(data))


@pytest.mark.django_db
@pytest.mark.usefixtures("_stripping")
@pytest.mark.parametrize("image_format", ["TIFF", "AVIF"])
def test_a_format_that_cannot_be_stripped_is_refused_by_name(client: APIClient, image_format: str) -> None:
    upload = pictures.upload(pictures.photo(image_format))
    response = client.post("/api/v1/inferences/", {"model_type": "resnet", "image": upload})
    assert (response.status_code, Inference.objects.count()) == (400, 0)
    assert image_format in response.json()["image"][0]
    assert "Send JPEG" in response.json()["image"][0]


@pytest.mark.django_db
@pytest.mark.usefixtures("sent")
def test_the_bytes_are_the_original_ones_by_default(client: APIClient) -> None:
    data = jpeg(6)
    client.post("/api/v1/inferences/", {"model_type": "resnet", "image": pictures.upload(data)})
    assert Inference.objects.get().image.read() == data
