"""Result files that are continued."""

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
