"""SavedModels are read without TensorFlow."""

import tarfile
from pathlib import Path

import pytest

from moon_vision_challenge.model_zoo.tests.adding import run


def test_a_tarball_of_a_saved_model_is_unpacked(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "export/1/variables").mkdir(parents=True)
    (place / "export/1/saved_model.pb").write_bytes(saved_model_bytes())
    (place / "export/1/variables/data").write_bytes(b"weights")
    with tarfile.open("net.tar.gz", "w:gz") as tar:
        tar.add("export")
    assert run("net.tar.gz", "--labels", "names.txt", "--preset", "keras-inception") == 0
    output = capsys.readouterr().out
    assert "SavedModel, TensorFlow 2.99" in output
    assert "input      x: float [?, 64, 64, 3]" in output
    assert (place / "models/net/1/variables/data").read_bytes() == b"weights"


def test_a_photo_for_a_saved_model_is_read_and_the_output_says_why_it_is_not_tried(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "saved").mkdir()
    (place / "saved/saved_model.pb").write_bytes(saved_model_bytes())
    options = ["--labels", "names.txt", "--preset", "keras-inception"]
    assert run("saved", *options, "--photo", "names.txt") == 1
    assert "names.txt cannot be read as a picture" in capsys.readouterr().err
    assert not (place / "models").exists()
    assert run("saved", *options, "--photo", "photo.png") == 0
    assert "photo.png: not tried, because a SavedModel runs in TensorFlow" in capsys.readouterr().out


def saved_model_bytes() -> bytes:
    """Return a SavedModel's protocol buffer with one signature: float [?, 64, 64, 3] → float [?, 10]."""

    def field(number: int, value: bytes | int) -> bytes:
        if isinstance(value, int):
            return varint(number << 3) + varint(value % 2**64)
        return varint(number << 3 | 2) + varint(len(value)) + value

    def varint(value: int) -> bytes:
        found = bytearray()
        while value > 0x7F:
            found.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*found, value])

    def entry(key: bytes, value: bytes) -> bytes:
        return field(1, key) + field(2, value)

    def tensor(*sizes: int) -> bytes:
        return field(2, 1) + field(3, b"".join(field(2, field(1, size)) for size in sizes))

    definition = b"".join(
        [
            field(1, entry(b"x", tensor(-1, 64, 64, 3))),
            field(2, entry(b"y", tensor(-1, 10))),
            field(3, b"tensorflow/serving/predict"),
        ]
    )
    graph = field(1, field(5, b"2.99")) + field(5, entry(b"serving_default", definition))
    return field(1, 1) + field(2, graph)
