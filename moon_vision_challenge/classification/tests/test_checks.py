"""`manage.py check` finds models that are registered but not served, or not served as registered."""

from pathlib import Path

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from pytest_django import Settings

from moon_vision_challenge.classification import catalogue, checks
from moon_vision_challenge.classification.abstract_classificator import Classificator
from moon_vision_challenge.classification.dispatchers import Dispatcher
from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.classification.serving.models_config import read_version_labels
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.test_dispatchers import Complete
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.model_server.config import parse_models_config
from native.environment import ROOT

ALL_LISTED = "".join(f"config {{ name: '{name}' base_path: '/m' }}" for name in ("resnet", "inception", "complete"))


class ThreeClasses(ServedModelClassificator):
    model_type = "three"
    input_size = 4
    labels = ("a", "b", "c")


@pytest.fixture
def config(settings: Settings, tmp_path: Path) -> Path:
    settings.MODELS_CONFIG = str(tmp_path / "models.config")
    return tmp_path / "models.config"


def registered(monkeypatch: pytest.MonkeyPatch, *classes: type[Classificator]) -> None:
    own = Dispatcher()
    for one in classes:
        own.register(one)
    monkeypatch.setattr(checks, "dispatcher", own)


def found() -> list[CheckMessage]:
    return run_checks(tags=["classification"])


def test_the_project_as_it_is_passes() -> None:
    call_command("check", fail_level="WARNING")


def test_a_model_that_is_not_in_models_config_is_found(config: Path) -> None:
    config.write_text(f"model_config_list {{ {ALL_LISTED} }}")
    (message,) = found()
    assert message.id == "classification.W002"
    assert "efficientnet_lite0" in message.msg
    assert str(config) in message.msg


def test_a_model_that_is_asked_somewhere_else_need_not_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = type("Elsewhere", (Complete,), {"model_url": "http://elsewhere.example/v1/models/x:predict"})
    registered(monkeypatch, elsewhere)
    assert found() == []


def test_a_file_that_cannot_be_read_is_reported_once(config: Path) -> None:
    (message,) = found()
    assert message.id == "classification.W001"


@pytest.mark.parametrize(
    ("status", "found_ids"),
    [
        (fake.has_versions(1, state="END", error_message="it is damaged"), ["classification.W006"]),
        (fake.has_versions(1, state="LOADING"), []),
        (fake.has_versions(1, error_message="model.onnx changed"), []),
        (fake.replies(404, {"error": "Could not find any versions"}), []),
        (fake.hangs_up, []),
    ],
)
def test_a_model_that_could_not_be_loaded_is_found_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, start_fake: StartFake, status: fake.Answer, found_ids: list[str]
) -> None:
    registered(monkeypatch, ThreeClasses)
    server = start_fake(fake.predicts(0))
    server.metadata, server.status = fake.replies(404, {"error": "Servable not found"}), status
    messages = [message for message in found() if message.id != "classification.W002"]
    assert [message.id for message in messages] == found_ids
    assert all("three: the model server could not load this model: it is damaged" in one.msg for one in messages)


def test_no_file_no_finding(settings: Settings) -> None:
    settings.MODELS_CONFIG = ""
    assert found() == []


@pytest.mark.parametrize(
    ("outputs", "ids"),
    [
        ({"y": ("DT_FLOAT", -1, 3)}, []),
        ({"probabilities": ("DT_FLOAT", -1, 4), "classes": ("DT_INT64", -1)}, []),
        ({"y": ("DT_FLOAT", -1, 5)}, ["classification.E001"]),
        ({"y": ("DT_FLOAT", -1, 2)}, ["classification.E001"]),
        ({"probabilities": ("DT_FLOAT", -1, 1000), "classes": ("DT_INT64", -1)}, ["classification.E001"]),
        ({"y": ("DT_FLOAT", -1, -1)}, []),
        ({"classes": ("DT_STRING", -1, 5), "scores": ("DT_FLOAT", -1, 5)}, []),
    ],
)
def test_labels_that_do_not_fit_the_models_output_are_found(
    start_fake: StartFake, monkeypatch: pytest.MonkeyPatch, settings: Settings, outputs: dict[str, object], ids: object
) -> None:
    settings.MODELS_CONFIG = ""
    registered(monkeypatch, ThreeClasses, Complete)
    signature = ({"x": ("DT_FLOAT", -1, 4, 4, 3)}, outputs)
    start_fake(fake.predicts(0)).metadata = fake.has_signatures(serving_default=signature)
    assert [message.id for message in found()] == ids


FLOATS_4 = ("DT_FLOAT", -1, 4, 4, 3)
SCORES_3 = ("DT_FLOAT", -1, 3)


@pytest.mark.parametrize(
    ("said", "tensor", "outputs", "id_", "hint"),
    [
        ({"input_size": 5}, FLOATS_4, SCORES_3, "E003", "input_size = 4"),
        ({"input_size": (4, 5)}, FLOATS_4, SCORES_3, "E003", "input_size = 4"),
        ({}, ("DT_FLOAT", -1, 4, 6, 3), SCORES_3, "E003", "input_size = (4, 6)"),
        ({"input_size": None}, ("DT_FLOAT", -1, -1, -1, 3), SCORES_3, "E003", "input_size = 224"),
        ({}, ("DT_FLOAT", -1, -1, -1, -1), SCORES_3, "E003", "layout = 'NCHW'"),
        ({"layout": "NCHW"}, FLOATS_4, SCORES_3, "E003", "layout = 'NHWC'"),
        ({"layout": "NHW"}, FLOATS_4, SCORES_3, "E003", "layout = 'NHWC' or layout = 'NCHW'"),
        ({"channels": "RGB"}, ("DT_FLOAT", -1, 4, 4, 1), SCORES_3, "E003", "channels = 'grey'"),
        ({"channels": "BGR"}, ("DT_FLOAT", -1, 4, 4), SCORES_3, "E003", "channels = 'grey'"),
        ({}, ("DT_FLOAT", -1, 4, 4, 4), SCORES_3, "E003", "layout = 'NCHW'"),
        ({"mean": (1.0, 2.0)}, FLOATS_4, SCORES_3, "E003", "one number for mean, or 3"),
        ({"input_size": 3}, ("DT_FLOAT", -1, 784), SCORES_3, "E003", "own"),
        ({"input_size": None, "layout": "flat"}, ("DT_FLOAT", -1, 784), SCORES_3, "E003", "input_size = 28"),
        ({"resize": "shorter_side", "shorter_side": 3}, FLOATS_4, SCORES_3, "E003", "shorter_side = 5"),
        ({"output": "x"}, FLOATS_4, {"a": SCORES_3, "b": SCORES_3}, "E003", "'a', 'b'"),
        ({}, FLOATS_4, {"a": SCORES_3, "b": SCORES_3}, "E003", "output = one of 'a', 'b'"),
        ({"labels": None}, FLOATS_4, SCORES_3, "E001", "labels = read_labels(path)"),
        ({"labels": None}, FLOATS_4, ("DT_INT64", -1), "E001", "labels = read_labels(path)"),
        ({"labels": ("a",)}, FLOATS_4, SCORES_3, "E001", "3 labels"),
        ({"labels": ("a", "b" * 1001, "c")}, FLOATS_4, SCORES_3, "E002", "at most 1000 characters"),
        ({"mean": (0.485, 0.456, 0.406), "scale": (0.229, 0.224, 0.225)}, FLOATS_4, SCORES_3, "W003",
         "mean = (123.675, 116.28, 103.53), scale = (58.395, 57.12, 57.375)"),
        ({"mean": 0.5, "scale": 0.5}, FLOATS_4, SCORES_3, "W003", "mean = 127.5, scale = 127.5"),
        ({"scale": 1 / 255}, FLOATS_4, SCORES_3, "W003", "scale = 255.0"),
        ({}, FLOATS_4, {"logits": SCORES_3}, "W004", "activation = 'softmax'"),
        ({"mean": 127.5, "scale": 127.5}, ("DT_UINT8", -1, 4, 4, 3), SCORES_3, "W005", "Remove mean and scale"),
    ],
)  # fmt: skip
def test_a_declaration_that_does_not_fit_the_model_is_found_with_the_line_to_write(
    start_fake: StartFake, monkeypatch: pytest.MonkeyPatch, settings: Settings,
    said: dict[str, object], tensor: object, outputs: object, id_: str, hint: str,
) -> None:  # fmt: skip
    settings.MODELS_CONFIG = ""
    registered(monkeypatch, type("Declared", (ThreeClasses,), said), Complete)
    signature = ({"x": tensor}, outputs if isinstance(outputs, dict) else {"y": outputs})
    start_fake(fake.predicts(0)).metadata = fake.has_signatures(serving_default=signature)
    [message] = found()
    assert message.id == f"classification.{id_}"
    assert message.msg.startswith("three: ")
    assert hint in str(message.hint)


@pytest.mark.parametrize(
    ("said", "tensor", "outputs"),
    [
        ({"labels": ("no", "yes")}, FLOATS_4, ("DT_FLOAT", -1, 1)),
        ({}, FLOATS_4, ("DT_INT64", -1)),
        ({}, FLOATS_4, ("DT_INT64", -1, 1)),
        ({}, FLOATS_4, ("DT_FLOAT", -1, 3, 1, 1)),
        ({"labels": None}, FLOATS_4, ("DT_STRING", -1)),
        ({"input_size": None}, FLOATS_4, SCORES_3),
        ({"layout": "NCHW"}, ("DT_FLOAT", -1, -1, -1, -1), SCORES_3),
        ({"channels": "grey"}, FLOATS_4, SCORES_3),
        ({"input_size": 28}, ("DT_FLOAT", -1, 784), SCORES_3),
        ({"activation": "softmax"}, FLOATS_4, {"logits": SCORES_3}),
        ({"output": "b"}, FLOATS_4, {"a": SCORES_3, "b": SCORES_3}),
        ({}, FLOATS_4, {"features": ("DT_FLOAT", -1, 1280), "scores": SCORES_3}),
        ({"preset": "torchvision"}, ("DT_FLOAT", 1, 3, 4, 4), SCORES_3),
        ({}, "DT_STRING", SCORES_3),
    ],
)
def test_a_declaration_that_fits_the_model_passes(
    start_fake: StartFake, monkeypatch: pytest.MonkeyPatch, settings: Settings,
    said: dict[str, object], tensor: object, outputs: object,
) -> None:  # fmt: skip
    settings.MODELS_CONFIG = ""
    registered(monkeypatch, type("Declared", (ThreeClasses,), said))
    signature = ({"x": tensor}, outputs if isinstance(outputs, dict) else {"y": outputs})
    start_fake(fake.predicts(0)).metadata = fake.has_signatures(serving_default=signature)
    assert found() == []


def test_a_model_that_takes_no_image_is_found_with_what_it_takes(
    start_fake: StartFake, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.MODELS_CONFIG = ""
    registered(monkeypatch, ThreeClasses)
    signature = ({"ids": ("DT_INT64", -1, 77), "mask": ("DT_INT64", -1, 77)}, {"y": SCORES_3})
    start_fake(fake.predicts(0)).metadata = fake.has_signatures(serving_default=signature)
    [message] = found()
    assert message.id == "classification.E003"
    assert "ids DT_INT64 [-1, 77]" in message.msg


@pytest.mark.parametrize(
    ("metadata", "asked"),
    [
        (fake.hangs_up, 2),  # the HTTP client repeats a request whose connection breaks
        (fake.replies(503, {}), 1),
        (fake.replies(404, {}), 6),
    ],
)
def test_without_the_model_server_nothing_is_found_and_nobody_waits(
    start_fake: StartFake, metadata: fake.Answer, asked: int
) -> None:
    server = start_fake(fake.predicts(0))
    server.metadata = metadata
    assert found() == []
    assert len(server.asked) == asked


CONFIGS = [
    (ROOT / "models.config").read_text(),
    """
    # a comment { with braces
    model_config_list: <
      config: {
        name: "one", base_path: '/models/one'; model_platform: "tensorflow"
        model_version_policy { specific { versions: 1 versions: 2 } }
        version_labels { key: 'stable' value: 1 } version_labels: < value: 2, key: "canary" >
      }
      config { base_path: "/models/{two} # no comment" name: 'two' }
    >
    """,
    "model_config_list{config{name:'a'base_path:'b'}}",
]


@pytest.mark.parametrize("text", CONFIGS)
def test_models_config_is_read_as_the_model_server_reads_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "models.config").write_text(text)
    assert read_version_labels(tmp_path / "models.config") == {
        model.name: model.version_labels for model in parse_models_config(text)
    }


@pytest.mark.parametrize("text", ["", "name: 'x'", "model_config_list { config { name: {} } }"])
def test_a_models_config_without_models_lists_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "models.config").write_text(text)
    assert read_version_labels(tmp_path / "models.config") == {}


def test_fields_that_only_tensorflow_serving_knows_are_left_out(tmp_path: Path) -> None:
    text = "model_config_list { config { name: 'a' logging_config { log_collector_config { type: 'x' } } } }"
    (tmp_path / "models.config").write_text(text)
    assert read_version_labels(tmp_path / "models.config") == {"a": {}}


@pytest.mark.parametrize(("text", "line"), [("}", 1), ("{{{", 1), ("model_config_list {\n  config {", 2)])
def test_a_broken_models_config_is_reported_with_its_line(config: Path, text: str, line: int) -> None:
    config.write_text(text)
    [warning] = found()
    assert warning.id == "classification.W001"
    assert f"line {line}: " in warning.msg
    assert catalogue.list_models()
