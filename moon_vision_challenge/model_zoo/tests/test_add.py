"""A classifier that was exported elsewhere is added in one command, or nothing is and one sentence says why."""

import ast
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from PIL import Image

from moon_vision_challenge.model_io.tests.networks import CLASSES, UINT8, save_network
from moon_vision_challenge.model_server.config import parse_models_config
from moon_vision_challenge.model_server.onnx_runtime import OnnxModel
from moon_vision_challenge.model_server.runtime import ModelLoadError
from moon_vision_challenge.model_zoo import add, add_arguments, install
from moon_vision_challenge.model_zoo.__main__ import main
from moon_vision_challenge.model_zoo.class_file import class_name, with_class
from moon_vision_challenge.model_zoo.errors import AddError
from moon_vision_challenge.model_zoo.models_config import with_model

LABELS = [f"class {number}" for number in range(CLASSES)]
ADDED = (
    "  config {\n    name: 'my_flowers'\n    base_path: '/models/my_flowers/'\n    model_platform: 'tensorflow'\n  }\n"
)
CONFIG = "# ours\nmodel_config_list {\n  config { name: 'a' base_path: '/models/a' }  # not this }\n}\n# the end\n"
NCHW = ("N", 3, 64, 64)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a models.config, and labels; the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("models.config").write_text(CONFIG)
    Path("names.txt").write_text("\n".join(LABELS))
    Image.linear_gradient("L").convert("RGB").save("photo.png")
    return tmp_path


def run(*words: str) -> int:
    return main(["add", *words])


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def listed() -> list[str]:
    return [one.name for one in parse_models_config(Path("models.config").read_text())]


def test_it_is_copied_listed_declared_and_tried(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_network(place / "my flowers.onnx", NCHW, head="logits")
    photo = ["--photo", "photo.png"]
    assert run("my flowers.onnx", "--labels", "names.txt", "--preset", "torchvision", "--write", "app", *photo) == 0
    output = capsys.readouterr().out
    assert "my flowers.onnx: ONNX, opset ai.onnx 17" in output
    assert "input      images: float [?, 3, 64, 64]" in output
    assert "output     output0: float [?, 10]" in output
    assert output.count("  class ") == 5
    assert "-F model_type=my_flowers " in output
    assert sorted(one.name for one in Path("models/my_flowers/1").iterdir()) == ["model.onnx"]
    assert listed() == ["a", "my_flowers"]
    assert Path("models.config").read_text().replace(ADDED, "") == CONFIG
    written = Path("app").read_text()
    assert "class MyFlowersClassificator(ServedModelClassificator):" in written
    assert 'model_type = "my_flowers"' in written
    assert 'activation = "softmax"' in written
    assert Path("my_flowers_labels.txt").read_text().splitlines() == LABELS


def test_the_frame_of_a_letterbox_and_opencvs_filter_are_options(place: Path) -> None:
    save_network(place / "net.onnx", NCHW)
    letterbox = ["--resize", "letterbox", "--interpolation", "bilinear", "--no_antialias"]
    for color, written in (("114", "114"), ("255, 0,7", "(255, 0, 7)")):
        options = [*letterbox, "--pad_color", color, "--scale", "255", "--write", f"{color}.py"]
        assert run("net.onnx", "--name", f"net{color[:3]}", "--labels", "names.txt", *options) == 0
        assert f"    pad_color = {written}\n" in Path(f"{color}.py").read_text()
        assert "    antialias = False\n" in Path(f"{color}.py").read_text()
    for color in ("256", "white", "1,2", "1,2,3,4", "-1"):
        with pytest.raises(SystemExit):
            run("net.onnx", "--labels", "names.txt", *letterbox, f"--pad_color={color}", "--scale", "255")


def test_the_next_version_is_one_more_than_the_newest(place: Path) -> None:
    save_network(place / "flowers.onnx", NCHW)
    for version in ("1", "007", "notes"):
        (place / "models" / "flowers" / version).mkdir(parents=True)
    for expected in ("8", "9"):
        assert run("flowers.onnx", "--labels", "names.txt", "--scale", "255") == 0
        assert (place / "models" / "flowers" / expected / "model.onnx").is_file()
    assert listed() == ["a", "flowers"]


def test_the_copy_is_the_model_and_takes_pixels_as_bytes_too(place: Path) -> None:
    save_network(place / "flowers.onnx", NCHW)
    assert run("flowers.onnx", "--labels", "names.txt", "--scale", "255") == 0
    pixels = np.random.default_rng(0).random((2, 3, 64, 64), np.float32)
    results = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"images": pixels})[0]
        for path in ("flowers.onnx", "models/flowers/1/model.onnx")
    ]
    np.testing.assert_array_equal(*results)
    properties = {one.key: one.value for one in onnx.load("models/flowers/1/model.onnx").metadata_props}
    assert json.loads(properties["serving_signatures"])["raw"]["inputs"] == {
        "images": {"tensor": "images", "encoding": "raw"}
    }


def test_weights_beside_the_model_come_along(place: Path) -> None:
    save_network(place / "plain.onnx", NCHW)
    folder = place / "export"
    (folder / "weights").mkdir(parents=True)
    model = onnx.load("plain.onnx")
    onnx.save_model(
        model, folder / "net.onnx", save_as_external_data=True, location="weights/all.bin", size_threshold=0
    )
    assert run("export/net.onnx", "--labels", "names.txt", "--scale", "255") == 0
    assert (place / "models/net/1/weights/all.bin").is_file()
    onnxruntime.InferenceSession("models/net/1/model.onnx", providers=["CPUExecutionProvider"])


def test_a_folder_of_hugging_face_needs_no_option(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_network(place / "vit/onnx/model.onnx", ("batch_size", "num_channels", "height", "width"), head="logits")
    processor = {"size": {"height": 64, "width": 64}, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (place / "vit/preprocessor_config.json").write_text(json.dumps(processor))
    (place / "vit/config.json").write_text(json.dumps({"id2label": dict(enumerate(LABELS))}))
    assert run("vit", "--write", "classificators.py", "--photo", "photo.png") == 0
    assert "recognised huggingface-vit" in capsys.readouterr().out
    written = Path("classificators.py").read_text()
    for line in ("input_size = 64", 'resize = "stretch"', 'layout = "NCHW"', "mean = (127.5, 127.5, 127.5)"):
        assert f"    {line}\n" in written
    assert Path("vit_labels.txt").read_text().splitlines() == LABELS


def test_a_folder_of_timm_needs_no_option(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_network(place / "net/model.onnx", NCHW, head="logits")
    trained = {
        "input_size": [3, 64, 64],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "crop_pct": 0.9,
        "interpolation": "bicubic",
    }
    config = {"architecture": "resnet18", "pretrained_cfg": trained, "label_names": LABELS}
    (place / "net/config.json").write_text(json.dumps(config))
    assert run("net") == 0
    output = capsys.readouterr().out
    assert "recognised timm" in output
    assert "shorter_side = 71" in output


def test_an_export_of_ultralytics_says_all_in_its_properties(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    properties = {"author": "Ultralytics", "task": "classify", "names": str(dict(enumerate(LABELS)))}
    save_network(place / "best.onnx", (1, 3, 64, 64), properties=properties)
    assert run("best.onnx", "--name", "birds", "--write", "app.py") == 0
    assert "recognised ultralytics-cls" in capsys.readouterr().out
    assert Path("birds_labels.txt").read_text().splitlines() == LABELS
    assert "scale = 255.0" in Path("app.py").read_text()


def save_zipmap(path: Path, **labels: Any) -> None:
    """The outputs of skl2onnx: a label, and a list of maps."""
    save_network(path, (None, 784), layout="flat", names=("X", "scores"))
    model = onnx.load(path)
    best = helper.make_node("ArgMax", ["scores"], ["output_label"], axis=1, keepdims=0)
    zipmap = helper.make_node("ZipMap", ["scores"], ["output_probability"], domain="ai.onnx.ml", **labels)
    model.graph.node.extend([best, zipmap])
    del model.graph.output[:]
    key = onnx.TensorProto.STRING if "classlabels_strings" in labels else onnx.TensorProto.INT64
    score = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [])
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(key, score))
    model.graph.output.extend(
        [
            helper.make_tensor_value_info("output_label", onnx.TensorProto.INT64, [None]),
            helper.make_value_info("output_probability", maps),
        ]
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    onnx.save(model, path)


@pytest.mark.parametrize("labels", [{"classlabels_strings": LABELS}, {"classlabels_int64s": list(range(CLASSES))}])
def test_maps_of_scikit_learn_become_scores_and_their_keys_labels(place: Path, labels: dict[str, Any]) -> None:
    save_zipmap(place / "digits.onnx", **labels)
    given = [] if "classlabels_strings" in labels else ["--labels", "names.txt"]
    options = ["--input_size", "28", "--scale", "255", "--photo", "photo.png", "--write", "app.py"]
    assert run("digits.onnx", *given, *options) == 0
    session = onnxruntime.InferenceSession("models/digits/1/model.onnx", providers=["CPUExecutionProvider"])
    assert [(one.name, one.type, one.shape) for one in session.get_outputs()][1] == (
        "output_probability", "tensor(float)", [None, CLASSES],
    )  # fmt: skip
    assert Path("digits_labels.txt").read_text().splitlines() == LABELS


def test_maps_that_were_copied_by_hand_are_refused_with_what_to_do(place: Path) -> None:
    save_zipmap(place / "model.onnx", classlabels_strings=LABELS)
    with pytest.raises(ModelLoadError, match=r"output_probability is a list of maps \(ZipMap\).*make add_model"):
        OnnxModel(place / "model.onnx")


def test_integers_need_no_range(place: Path) -> None:
    save_network(place / "net.onnx", ("N", 64, 64, 3), layout="NHWC", dtype=UINT8)
    assert run("net.onnx", "--labels", "names.txt") == 0


def answering(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Be a person at a terminal; returns what was asked."""
    asked: list[str] = []
    left = list(answers)

    def answer(question: str) -> str:
        asked.append(question)
        if not left:
            raise EOFError
        return left.pop(0)

    monkeypatch.setattr(add, "is_interactive", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    return asked


def test_what_no_file_says_is_asked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_network(place / "net.onnx", ("batch", "channels", "height", "width"), head="logits")
    asked = answering(monkeypatch, "", "NCHW", "64", "torchvision", "names.txt", "photo.png", "y")
    assert run("net.onnx") == 0
    assert [one.partition(":")[0] for one in asked] == [
        "model_type [net]", "layout", "input_size", "preset", "labels", "A photo to try (empty", "Add it? [Y/n] ",
    ]  # fmt: skip
    assert listed() == ["a", "net"]


@pytest.mark.parametrize("answers", [(), ("",), ("", "torchvision", "names.txt", "", "n")])
def test_who_answers_no_or_leaves_adds_nothing(
    place: Path, monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...]
) -> None:
    save_network(place / "net.onnx", NCHW)
    before = tree(place)
    answering(monkeypatch, *answers)
    assert run("net.onnx", "--write", "app.py") != 0
    assert tree(place) == before


def broken(place: Path) -> None:
    (place / "broken.onnx").write_bytes(b"not a model")


def cut(place: Path) -> None:
    save_network(place / "whole.onnx", NCHW)
    (place / "cut.onnx").write_bytes((place / "whole.onnx").read_bytes()[:3000])


def empty(place: Path) -> None:
    (place / "empty.onnx").touch()


def without_weights(place: Path) -> None:
    save_network(place / "whole.onnx", NCHW)
    onnx.save_model(
        onnx.load(place / "whole.onnx"), place / "bare.onnx", save_as_external_data=True, location="w", size_threshold=0
    )
    (place / "w").unlink()


def new_opset(place: Path) -> None:
    save_network(place / "new.onnx", NCHW)
    model = onnx.load(place / "new.onnx")
    model.opset_import[0].version = 99
    onnx.save(model, place / "new.onnx")


def two_inputs(place: Path) -> None:
    info = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 2]) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "g", info[:2], info[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), place / "two.onnx")


def sound(place: Path) -> None:
    save_network(place / "net.onnx", NCHW)


def detector(place: Path) -> None:
    save_network(place / "net.onnx", NCHW, properties={"author": "Ultralytics", "task": "detect"})


def several(place: Path) -> None:
    for name in ("one", "two"):
        save_network(place / f"both/{name}.onnx", NCHW)


def saved_model(place: Path) -> None:
    (place / "saved").mkdir()
    (place / "saved/saved_model.pb").write_bytes(b"\x12\x03\x0a\x01\xff\xff")


def weights_only(place: Path) -> None:
    (place / "pytorch").mkdir()
    (place / "pytorch/best.pt").touch()


def tarball(place: Path) -> None:
    (place / "net.tar.gz").write_bytes(b"\x1f\x8b not one")


SOUND = ["net.onnx", "--labels", "names.txt", "--preset", "torchvision"]
REFUSED: list[tuple[Callable[[Path], None], list[str], str]] = [
    (broken, ["broken.onnx"], "broken.onnx is not an ONNX model, or is cut short"),
    (cut, ["cut.onnx"], "cut.onnx is not an ONNX model, or is cut short"),
    (empty, ["empty.onnx"], "it holds no graph"),
    (without_weights, ["bare.onnx"], "needs the file w next to it"),
    (new_opset, ["new.onnx"], "cannot be loaded by onnxruntime"),
    (two_inputs, ["two.onnx"], "does not take one image, but a, b"),
    (detector, ["net.onnx"], "for the task 'detect', not for `classify`"),
    (several, ["both"], "holds several models: name one of one.onnx, two.onnx"),
    (saved_model, ["saved"], "is not a SavedModel, or is cut short"),
    (weights_only, ["pytorch/best.pt"], "neither ONNX nor a SavedModel. In Ultralytics: `yolo export"),
    (weights_only, ["pytorch"], "holds neither an ONNX file nor a SavedModel. In Ultralytics"),
    (tarball, ["net.tar.gz"], "cannot be unpacked"),
    (sound, ["nothing.onnx"], "nothing.onnx does not exist"),
    (sound, ["net.onnx"], "no file says which"),
    (sound, ["net.onnx", "--preset", "torchvision"], "there are 0 labels. Use the option --labels"),
    (sound, ["net.onnx", "--preset", "timm"], "reads files of the export"),
    (sound, [*SOUND, "--labels", "none.txt"], "none.txt cannot be read"),
    (sound, [*SOUND, "--labels", "photo.png"], "not UTF-8 text"),
    (sound, [*SOUND, "--input_size", "224"], "input_size is 224 x 224, but the model takes 64 x 64"),
    (sound, [*SOUND, "--output", "x"], "no output 'x'"),
    (sound, [*SOUND, "--name", "a b"], "The name 'a b' cannot be used"),
    (sound, [*SOUND, "--photo", "names.txt"], "names.txt cannot be read as a picture"),
    (sound, [*SOUND, "--write", "names.txt"], "The file to write to is not Python: line 1"),
    (sound, [*SOUND, "--write", "models.config/app.py"], "cannot be written: Not a directory"),
    (sound, [*SOUND, "--models_dir", "names.txt"], "cannot be written"),
]


@pytest.mark.parametrize(
    ("prepare", "words", "sentence"), REFUSED, ids=lambda value: getattr(value, "__name__", str(value)[:60])
)
def test_what_cannot_be_added_is_reported_in_a_sentence_and_leaves_nothing(
    place: Path, prepare: Callable[[Path], None], words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(place)
    before = tree(place)
    assert run(*words) == 1
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert "Traceback" not in told
    assert tree(place) == before


@pytest.mark.parametrize("text", ["model_config_list {", "model_config_list { config { name: 'a' } } }", "§"])
def test_a_models_config_that_cannot_be_read_is_left_alone(
    place: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sound(place)
    Path("models.config").write_text(text)
    before = tree(place)
    assert run(*SOUND) == 1
    assert "models.config cannot be read: line 1" in capsys.readouterr().err
    assert tree(place) == before


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_failure_half_way_is_undone(place: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    sound(place)
    Path("app.py").write_text('"""Mine."""\n')
    before = tree(place)
    replace, calls = install._replace, []

    def fails(path: Path, text: str) -> None:
        calls.append(path)
        if len(calls) == fails_at:
            raise OSError(28, "No space left on device", str(path))
        replace(path, text)

    monkeypatch.setattr(install, "_replace", fails)
    assert run(*SOUND, "--write", "app.py") == 1
    assert tree(place) == before


def test_a_models_config_keeps_its_mode_and_its_link(place: Path) -> None:
    sound(place)
    Path("real.config").write_text(CONFIG)
    Path("real.config").chmod(0o640)
    Path("models.config").unlink()
    Path("models.config").symlink_to("real.config")
    assert run(*SOUND) == 0
    assert Path("models.config").is_symlink()
    assert Path("real.config").stat().st_mode & 0o777 == 0o640
    assert "'net'" in Path("real.config").read_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "model_config_list {}",
        "model_config_list: < config: < name: 'a', base_path: '/a' > >",
        "model_config_list { config { name: 'a' base_path: '/{' } } # }",
        "model_config_list {\n\tconfig {\n name: \"a\"\n base_path: '/a' model_version_policy { all {} } }\n\t}\n",
        "# model_config_list {\nmodel_config_list {\n}\n",
    ],
)
def test_models_config_gets_one_more_model_in_every_form_of_the_file(text: str) -> None:
    changed = with_model(text, "net", "/models/net/")
    models = parse_models_config(changed)
    assert (models[-1].name, models[-1].base_path) == ("net", "/models/net/")
    assert len(models) == text.count("name:") + 1
    assert with_model(changed, "net", "/elsewhere") == changed
    kept = iter(changed)
    assert all(character in kept for character in text)  # in their order


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
    """A SavedModel's protocol buffer with one signature: float [?, 64, 64, 3] → float [?, 10]."""

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


@pytest.mark.parametrize(
    ("model_type", "name"),
    [("flowers", "FlowersClassificator"), ("my-flowers.v2", "MyFlowersV2Classificator"), ("7", "Model7Classificator")],
)
def test_a_class_is_named_after_its_model(model_type: str, name: str) -> None:
    assert class_name(model_type) == name


CLASS = "@classificators.register\nclass AClassificator(ServedModelClassificator):\n    labels = read_labels(Path(x))\n"


@pytest.mark.parametrize(
    "source",
    [
        "",
        '"""Mine."""\n',
        "import os\n\nX = 1",
        "from pathlib import Path\nfrom a import (\n    b,\n    c,\n)\n\n\nclass Other:\n    pass\n",
        "X = 1\n",
    ],
)
def test_a_class_is_appended_with_the_imports_it_needs(source: str) -> None:
    changed = with_class(source, CLASS)
    assert changed.endswith(f"\n\n\n{CLASS}")
    imported = [line for line in changed.splitlines() if "import" in line]
    for name in ("Path", "classificators", "read_labels", "ServedModelClassificator"):
        assert sum(f" {name}" in line for line in imported) == 1
    kept = iter(changed.splitlines())
    assert all(line in kept for line in source.splitlines())
    body = ast.parse(changed).body
    assert isinstance(body[-1], ast.ClassDef)


def test_an_existing_class_is_not_written_again() -> None:
    with pytest.raises(AddError, match="already has a class AClassificator"):
        with_class(with_class("", CLASS), CLASS)


@pytest.mark.parametrize(("text", "size"), [("224", 224), ("160x224", (160, 224)), ("(160, 224)", (160, 224))])
def test_sizes_are_read(text: str, size: Any) -> None:
    assert add_arguments.read_size(text) == size
