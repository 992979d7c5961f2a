from pathlib import Path

import pytest

from moon_vision_challenge.classification.labels import IMAGENET_LABELS, read_labels


def test_there_are_the_thousand_labels_of_imagenet_in_its_order() -> None:
    assert len(IMAGENET_LABELS) == 1000
    assert (IMAGENET_LABELS[0], IMAGENET_LABELS[146], IMAGENET_LABELS[999]) == ("tench", "albatross", "toilet_tissue")


def test_a_label_file_has_a_label_a_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("daisy\n blue tulip \r\nrosé\n\n", encoding="utf-8")
    assert read_labels(path) == ("daisy", "blue tulip", "rosé")


@pytest.mark.parametrize(("text", "line"), [("", 1), ("\n\n", 1), ("daisy\n\ntulip\n", 2)])
def test_a_label_file_with_a_gap_is_refused_and_the_line_is_named(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"labels.txt: line {line} holds no label"):
        read_labels(tmp_path / "labels.txt")
