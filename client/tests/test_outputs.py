"""Result files that a second run continues."""

import csv
import json
from pathlib import Path

import pytest
from moonvision.errors import MoonVisionError, RejectedError
from moonvision.outputs import COLUMNS, ResultFile, record, table_line
from moonvision.results import Classification, Prediction, Result

FOUND = Classification("espresso, \u00e4", (Prediction("espresso, \u00e4", 0.875, 967), Prediction("cup", None, 968)))
NAMES = ["a.jpg", 'with "quotes", commas', "B\u00e4r.png"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_is_continued_after_a_killed_run(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"labels.{kind}"
    with ResultFile(path, kind) as file:
        assert file.done == set()
        for name in NAMES:
            file.write(record(Result(name, FOUND)))
    whole = path.read_bytes()
    path.write_bytes(whole + b'"half a li')
    with ResultFile(path, kind) as file:
        assert file.done == set(NAMES)
    assert path.read_bytes() == whole


def test_the_header_of_a_csv_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    for name in NAMES[:2]:
        with ResultFile(path, "csv") as file:
            file.write(record(Result(name, FOUND)))
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert path.read_text().count("predictions") == 1


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("my notes\n")
    with pytest.raises(MoonVisionError, match="is not a result of this command"), ResultFile(path, "jsonl"):
        pass
    assert path.read_text() == "my notes\n"


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "no" / "a.csv", "csv")
    with pytest.raises(MoonVisionError, match="No such file or directory"), file:
        pass


def test_records_hold_all_that_is_known() -> None:
    assert json.loads(json.dumps(record(Result("a", FOUND)))) == {
        "image": "a",
        "label": "espresso, \u00e4",
        "score": 0.875,
        "error": "",
        "predictions": [
            {"label": "espresso, \u00e4", "score": 0.875, "class_id": 967},
            {"label": "cup", "score": None, "class_id": 968},
        ],
    }
    assert table_line(record(Result("a", FOUND))) == "a\tespresso, \u00e4 0.875\tcup\n"
    assert table_line(record(Result("a", error=RejectedError("Too small.")))) == "a\terror: Too small.\n"


NOT_UTF_8 = b"caf\xe9.jpg".decode(errors="surrogateescape")
ODD_NAMES = [
    "two\nlines.jpg",
    "tab\there",
    "\x1b[31mred\x1b[0m",
    NOT_UTF_8,
    "=cmd|' /C calc'!A0",
    "-",
    "\ufeffa.jpg",
    "a\u2028b",
]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_any_name_is_one_line_and_is_found_again(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"labels.{kind}"
    with ResultFile(path, kind) as file:
        for name in ODD_NAMES:
            file.write(record(Result(name, FOUND)))
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(ODD_NAMES) + (kind == "csv")
    with ResultFile(path, kind) as file:
        assert [name for name in ODD_NAMES if not file.has(name)] == []
        assert not file.has("other.jpg")


def test_a_spreadsheet_finds_no_formula_in_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with ResultFile(path, "csv") as file:
        file.write(record(Result("=1+1.jpg", Classification("@label"))))
        file.write(record(Result("a.jpg", error=RejectedError("+bad\r\nnews"))))
    (_, first, second) = csv.reader(path.read_text(encoding="utf-8").splitlines())
    assert first[:2] == ["'=1+1.jpg", "'@label"]
    assert second[3] == "'+bad\\x0d\\x0anews"


def test_a_table_shows_no_control_characters() -> None:
    lines = [table_line(record(Result(name, FOUND))) for name in ODD_NAMES]
    assert [line.count("\n") for line in lines] == [1] * len(ODD_NAMES)
    assert lines[2].startswith("\\x1b[31mred\\x1b[0m\t")
    assert lines[3].startswith("caf\\udce9.jpg\t")


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_two_runs_do_not_write_to_one_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"labels.{kind}"
    with ResultFile(path, kind) as first:
        first.write(record(Result("a.jpg", FOUND)))
        with pytest.raises(MoonVisionError, match="another run writes to it"), ResultFile(path, kind):
            pass
    with ResultFile(path, kind) as second:
        assert second.done == {"a.jpg"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"name,age\nEve,3\n"),
        ("a.csv", b"\xff\xfe\n"),
        ("a.jsonl", b"\xff\xfe\n"),
        ("a.jsonl", b'{"name": 1}\n'),
        ("a.csv", b"\x00" * 10 + b"\n"),
        ("a.csv", b"without a line break"),
        ("a.jsonl", b"without a line break"),
        ("a.csv", b'image,label,score,error,predictions\n"a\n'),
    ],
)
def test_a_file_of_another_kind_is_left_as_it_is(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MoonVisionError, match="is not a result of this command"), ResultFile(path, path.suffix[1:]):
        pass
    assert path.read_bytes() == content


def test_a_csv_that_a_spreadsheet_has_saved_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xef\xbb\xbfimage,label,score,error,predictions\r\na.jpg,espresso,0.9,,[]\r\n")
    with ResultFile(path, "csv") as file:
        assert file.has("a.jpg")


def test_only_a_regular_file_is_continued() -> None:
    with pytest.raises(MoonVisionError, match="not a regular file"), ResultFile(Path("/dev/full"), "csv"):
        pass


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "labels.csv", "csv")
    with file:
        pass
    with Path("/dev/full").open("wb") as file._file:
        with pytest.raises(MoonVisionError, match="No space left on device"):
            file.write(record(Result("a.jpg", FOUND)))
        with pytest.raises(MoonVisionError, match="No space left on device"):
            file.__exit__(None, None, None)
