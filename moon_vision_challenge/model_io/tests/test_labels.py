"""Labels are read from the files that trainers write."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from moon_vision_challenge.model_io.labels import read_labels

FISH = ("tench", "great white shark", "hammerhead")


@pytest.mark.parametrize(
    "content",
    [
        b"tench\ngreat white shark\nhammerhead\n",
        b"tench\ngreat white shark\nhammerhead",
        b"tench\r\n great white shark \r\nhammerhead\r\n\r\n",
        b"tench\rgreat white shark\rhammerhead\r",
        b"\xef\xbb\xbftench\r\ngreat white shark\r\nhammerhead\r\n",
        b"0 tench\n1 great white shark\n2 hammerhead\n",
        b"1\ttench\n2\tgreat white shark\n3\thammerhead\n",
        b"0: tench\n1: great white shark\n2: hammerhead\n",
        b"0,tench\n1,great white shark\n2,hammerhead\n",
        b"\xef\xbb\xbf2 hammerhead\n0 tench\n1 great white shark",
        b"n01440764 tench\nn01484850 great white shark\nn01494475 hammerhead\n",
        b"0 n01440764 tench\n1 n01484850 great white shark\n2 n01494475 hammerhead\n",
        b"tench\t0\ngreat white shark\t1\nhammerhead\t2\n",
        b"hammerhead,2\ntench,0\ngreat white shark,1",
        b'"tench"\n"great white shark"\n"hammerhead"\n',
        b'["tench", "great white shark", "hammerhead"]',
        b"['tench', 'great white shark', 'hammerhead']",
        b"{0: 'tench', 2: 'hammerhead', 1: 'great white shark'}",
    ],
)
def test_a_text_file_has_one_label_per_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    assert read_labels(tmp_path / "labels.txt") == FISH


@pytest.mark.parametrize(
    "value",
    [
        list(FISH),
        {"0": "tench", "1": "great white shark", "2": "hammerhead"},
        {"2": "hammerhead", "0": "tench", "1": "great white shark"},
        {"0": ["n01440764", "tench"], "1": ["n01484850", "great white shark"], "2": ["n01494475", "hammerhead"]},
        {"tench": 0, "hammerhead": 2, "great white shark": 1},
        {"model_type": "vit", "id2label": {"0": "tench", "1": "great white shark", "2": "hammerhead"}},
        {"label2id": {"tench": 0, "hammerhead": 2, "great white shark": 1}},
        *({name: list(FISH)} for name in ("labels", "names", "classes", "class_names")),
    ],
)
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\r\n"])
def test_a_json_file_is_a_list_or_an_object(tmp_path: Path, value: Any, start: bytes) -> None:
    (tmp_path / "labels.json").write_bytes(start + json.dumps(value).encode())
    assert read_labels(tmp_path / "labels.json") == FISH


@pytest.mark.parametrize(
    "lines",
    [
        ["2 door", "4 door", "5 door"],
        ["0 tench", "hammerhead"],
        ["0 tench", "0 hammerhead"],
        ["1 door"],
        ["n01440764", "n01484850"],
        ["n01440764 tench", "hammerhead"],
        ["[unused]", "cat"],
        ["naïve", "日本", "Bergkäse 🧀"],
        ["crane", "crane"],
        ["x" * 5000],
        ["0" * 5000 + " x"],
    ],
)
def test_what_only_looks_like_an_index_stays_in_the_label(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(lines), encoding="utf-8")
    assert read_labels(tmp_path / "labels.txt") == tuple(lines)


@pytest.mark.parametrize(("text", "line"), [("", 1), ("\n\n", 1), ("\ufeff\r\n", 1), ("daisy\n\ntulip\n", 2)])
def test_a_label_file_with_a_gap_is_refused_and_the_line_is_named(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"labels.txt: line {line} holds no label"):
        read_labels(tmp_path / "labels.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9\n", r"not UTF-8 text \(byte 4\): save the file as UTF-8"),
        ("tench\n".encode("utf-16"), "not UTF-8 text"),
        (b"{", "Expecting property name"),
        (b"{}", "there are no labels"),
        (b'{"0": "a", "2": "b"}', "class 1 is missing: expected the classes 0 to 1"),
        (b'{"a": 0, "b": 0}', "class 1 is missing|class 0 is missing"),
        (b'{"0": "a", "1": ""}', "class 1 has no label"),
        (b'{"0": "a", "1": 7}', "class 1 has no label"),
        (b'{"0": []}', "class 0 has no label"),
        (b'{"id2label": []}', "class 0 is missing"),
    ],
)
def test_a_file_of_another_form_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"labels.txt: .*({message})"):
        read_labels(tmp_path / "labels.txt")


def test_a_json_file_that_is_neither_list_nor_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text("7")
    with pytest.raises(ValueError, match="expected a list of labels"):
        read_labels(tmp_path / "labels.json")


@pytest.mark.parametrize(
    "content",
    [
        "tench\ngreat white shark\nhammerhead\n",
        "label\ntench\ngreat white shark\nhammerhead\n",
        "0,tench\n1,great white shark\n2,hammerhead\n",
        "tench;0\ngreat white shark;1\nhammerhead;2\n",
        'index,label\r\n0,"tench"\r\n1,"great white shark"\r\n2,hammerhead\r\n\r\n',
        "Label,Id,Count\nhammerhead,2,7\ntench,0,8\ngreat white shark,1,9\n",
        "class_id\tsynset\tname\n0\tn01\ttench\n1\tn02\tgreat white shark\n2\tn03\thammerhead\n",
        "\ufeffid;name\n1;tench\n2;great white shark\n3;hammerhead\n",
    ],
)
def test_a_table_has_a_column_of_labels(tmp_path: Path, content: str) -> None:
    (tmp_path / "labels.csv").write_text(content, encoding="utf-8")
    assert read_labels(tmp_path / "labels.csv") == FISH


def test_a_label_in_a_table_may_have_a_comma(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text('id,name\n0,"tench, Tinca tinca"\n1,goldfish\n')
    assert read_labels(tmp_path / "labels.csv") == ("tench, Tinca tinca", "goldfish")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("data.yaml", b"names:\n  0: cat\n  1: dog\n", "save the labels as text, one per line, or as a JSON list"),
        ("data.txt", b"names:\n- cat\n- dog\n", "files of this form are not read"),
        ("map.pbtxt", b"item {\n  id: 1\n  name: 'cat'\n}\n", "files of this form are not read"),
        ("labels.csv", b"1,2,3\n4,5,6\n", "it is not clear which column holds the labels"),
        ("labels.csv", b"id,label\n0,cat\n1\n", "a row has fewer columns than the header"),
        ("labels.csv", b"", "line 1 holds no label"),
        ("labels.txt", "cat\ndog".encode("utf-16-le"), "it has a NUL character"),
        ("labels.txt", "Käse".encode("latin-1"), "this is not UTF-8 text (byte 2): save the file as UTF-8"),
        ("labels.txt", "\ufeffcat\ndog".encode("utf-16-le"), "this is not UTF-8 text (byte 1): save the file as UTF-8"),
        ("labels.json", b'{"0": "cat", "2": "dog"}', "class 1 is missing"),
        ("labels.json", b"[" * 100_000, "nested too deeply"),
        ("labels.txt", b"{" * 100_000, "labels.txt: "),
    ],
)
def test_a_file_of_another_form_is_refused_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(reason)):
        read_labels(tmp_path / name)
