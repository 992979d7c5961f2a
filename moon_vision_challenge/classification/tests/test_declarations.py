"""Invalid declarations are refused when the class is registered, and the error says which line to write."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ImproperlyConfigured
from PIL import Image

from moon_vision_challenge.classification.dispatchers import Dispatcher
from moon_vision_challenge.classification.exceptions import InvalidPredictionError
from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests.pictures import gradient
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.model_io.presets import preset_names

LABELS = ("cat", "dog", "fish")
PHOTO = gradient(400, 300)


def declared(**said: Any) -> type[ServedModelClassificator]:
    values = {"model_type": "declared", "input_size": 4, "labels": LABELS, "__module__": __name__, **said}
    return type("Declared", (ServedModelClassificator,), values)


def serve(start_fake: StartFake, row: Any, tensor: Any, outputs: Any) -> fake.FakeModelServer:
    def answer(handler: fake.Handler) -> None:
        fake.replies(200, {"predictions": [row] * len(handler.server.requests[-1][1]["instances"])})(handler)

    server = start_fake(answer)
    server.metadata = fake.has_signatures(serving_default=({"x": tensor}, outputs))
    return server


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"input_size": 0}, r"input_size = 0 is not a size\. Write one number, or \(height, width\)"),
        ({"input_size": (224, 224, 3)}, "is not a size"),
        ({"input_size": "224"}, "is not a size"),
        ({"input_size": 20_000}, "is not a size"),
        (
            {"resize": "centre_crop"},
            r"resize = 'centre_crop' is not known\. Write one of 'center_crop', 'shorter_side'",
        ),
        ({"interpolation": "cubic"}, "interpolation = 'cubic' is not known"),
        ({"channels": "L"}, "Write one of 'RGB', 'BGR', 'grey'"),
        ({"layout": "nchw"}, "Write one of 'NHWC', 'NCHW', 'NHW', 'flat'"),
        ({"activation": "relu"}, "Write one of 'none', 'softmax', 'sigmoid'"),
        ({"crop": 0.0}, "crop = 0.0 is not a fraction"),
        ({"crop": 87.5}, "crop = 87.5 is not a fraction"),
        ({"shorter_side": 2.5}, "shorter_side = 2.5 is not a number of pixels"),
        ({"mean": "0.5"}, "mean = '0.5' is not a number"),
        ({"mean": ()}, r"mean = \(\) is not a number"),
        ({"scale": (1.0, 0.0, 1.0)}, "scale is 0"),
        ({"interpolation": "lanczos", "antialias": False}, "lanczos needs antialias. Remove antialias"),
        ({"scale": float("nan")}, "is not a number"),
        ({"threshold": (0.5, None, 0.5)}, "is not a number"),
        ({"threshold": 0.5, "preset": "torchvision"}, "Write activation = 'sigmoid'"),
        ({"labels": "cat"}, r"Write labels = read_labels\(path\)"),
        ({"labels": [1, 2]}, "labels is not a sequence of strings"),
        ({"preset": "pytorch"}, "preset = 'pytorch' is not known. Write one of torchvision, keras-resnet50"),
        ({"preset": "timm"}, "Write preset_dir = the folder that holds config.json"),
        ({"preset": "timm", "preset_dir": Path("/nowhere")}, "/nowhere/config.json cannot be read"),
    ],
)
def test_it_is_refused_with_a_sentence(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"test_declarations\.Declared: .*{message}"):
        Dispatcher().register(declared(**said))


@pytest.mark.parametrize(
    ("files", "preset", "message"),
    [
        ({"config.json": "{"}, "timm", "config.json is not JSON"),
        ({"config.json": {}}, "timm", "are not as expected: KeyError"),
        ({"config.json": []}, "timm", "are not as expected"),
        ({"config.json": {"pretrained_cfg": {"input_size": [3, 8, 8], "mean": [0.5], "std": [0.5],
                                             "crop_mode": "border"}}}, "timm", "crop_mode 'border'"),
        ({"config.json": {"pretrained_cfg": {"input_size": [3, 8, 16], "mean": [0.5], "std": [0.5],
                                             "crop_mode": "squash"}}}, "timm", "crop_mode 'squash'"),
        ({"config.json": {"id2label": {"0": "a"}}}, "huggingface-vit", "preprocessor_config.json cannot be read"),
        ({"preprocessor_config.json": {"resample": 4}}, "huggingface-vit", "resample 4 is not supported"),
        ({"preprocessor_config.json": {"do_resize": False}}, "huggingface-vit", "do_resize: false"),
        ({"preprocessor_config.json": {"size": {"longest_edge": 3}}}, "huggingface-vit", "not as expected"),
        ({"preprocessor_config.json": {"size": 8}}, "huggingface-vit", "not as expected: KeyError"),
        ({"preprocessor_config.json": {"size": 8, "rescale_factor": 0, "do_normalize": False}}, "huggingface-vit",
         "not as expected: ZeroDivisionError"),
        ({"preprocessor_config.json": {"size": 8, "image_mean": [], "image_std": []}}, "huggingface-vit",
         "not as expected: IndexError"),
    ],
)  # fmt: skip
def test_files_of_an_export_that_cannot_be_read_are_named(
    tmp_path: Path, files: dict[str, Any], preset: str, message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ImproperlyConfigured, match=message):
        Dispatcher().register(declared(preset=preset, preset_dir=tmp_path))


@pytest.mark.parametrize("preset", [name for name in preset_names() if name not in ("timm", "huggingface-vit")])
def test_a_preset_needs_no_other_attribute_than_labels(start_fake: StartFake, preset: str) -> None:
    shape = (-1, 3, 8, 8) if preset in ("torchvision", "ultralytics-cls") else (-1, 8, 8, 3)
    server = serve(start_fake, [0.1, 0.2, 0.7], ("DT_FLOAT", *shape), {"y": ("DT_FLOAT", -1, 3)})
    assert declared(preset=preset, input_size=None)().predict(PHOTO) == "fish"
    assert np.array(server.requests[0][1]["instances"]).shape == (1, *shape[1:])


def test_what_a_class_says_counts_more_than_its_preset() -> None:
    said = declared(preset="torchvision", interpolation="area", activation="none")().declaration
    assert (said.resize, said.interpolation, said.activation, said.layout) == ("shorter_side", "area", "none", "NCHW")


def test_the_whole_picture_counts_if_declared(start_fake: StartFake) -> None:
    frame = Image.new("RGB", (100, 100), "white")
    frame.paste("black", (5, 5, 95, 95))  # the default crop would cut the frame off
    server = serve(start_fake, 0, ("DT_UINT8", -1, 50, 50, 3), {"y": ("DT_INT64", -1)})
    for said, brightest in (
        ({}, 0),
        ({"crop": 1.0}, 255),
        ({"resize": "stretch"}, 255),
        ({"resize": "letterbox"}, 255),
    ):
        declared(input_size=50, interpolation="bilinear", **said)().predict(frame)
        assert np.array(server.requests[-1][1]["instances"]).max() == brightest


@pytest.mark.parametrize(
    ("row", "said", "predictions"),
    [
        ({"cat": 0.1, "dog": 0.2, "fish": 0.7}, {}, [("fish", 0.7, 2), ("dog", 0.2, 1), ("cat", 0.1, 0)]),
        ({"0": 0.1, "1": 0.2, "2": 0.7}, {}, [("fish", 0.7, 2), ("dog", 0.2, 1), ("cat", 0.1, 0)]),
        ({"cat": 0.1, "wolf": 0.9}, {"labels": None}, [("wolf", 0.9, None), ("cat", 0.1, None)]),
        ({"output_label": "fish", "output_probability": {"cat": 0.25, "fish": 0.75}}, {},
         [("fish", 0.75, 2), ("cat", 0.25, 0)]),
        ({"classes": ["dog", "cat"], "scores": [0.5, 0.25]}, {}, [("dog", 0.5, 1), ("cat", 0.25, 0)]),
        ([[[0.1]], [[0.2]], [[0.7]]], {"shape": (-1, 3, 1, 1)}, [("fish", 0.7, 2), ("dog", 0.2, 1), ("cat", 0.1, 0)]),
        ([1], {"dtype": "DT_INT64", "shape": (-1, 1)}, [("dog", None, 1)]),
        (0.75, {"labels": ("no", "yes"), "shape": (-1,)}, [("yes", 0.75, 1), ("no", 0.25, 0)]),
        ([0.25], {"labels": ("no", "yes"), "shape": (-1, 1)}, [("no", 0.75, 0), ("yes", 0.25, 1)]),
        ([0.5], {"labels": ("only",), "shape": (-1, 1)}, [("only", 0.5, 0)]),
        ([2.0, 2.0, 0.0], {"activation": "softmax"},
         [("cat", pytest.approx(0.4683, abs=1e-4), 0), ("dog", pytest.approx(0.4683, abs=1e-4), 1),
          ("fish", pytest.approx(0.0634, abs=1e-4), 2)]),
        ([1e4, -1e4, 0], {"activation": "softmax"}, [("cat", 1.0, 0), ("dog", 0.0, 1), ("fish", 0.0, 2)]),
        ([1e4, -1e4, 0.0], {"activation": "sigmoid"}, [("cat", 1.0, 0), ("fish", 0.5, 2), ("dog", 0.0, 1)]),
    ],
)  # fmt: skip
def test_every_form_of_answer_is_read(start_fake: StartFake, row: Any, said: dict[str, Any], predictions: Any) -> None:
    output = (said.pop("dtype", "DT_FLOAT"), *said.pop("shape", (-1, 3)))
    serve(start_fake, row, ("DT_FLOAT", -1, 4, 4, 3), {"y": output})
    classificator = declared(**said)()
    (found,) = classificator.classify([PHOTO], top_k=9)
    assert found.predictions == predictions
    assert found.label == predictions[0][0] == classificator.predict(PHOTO)


@pytest.mark.parametrize(
    ("scores", "threshold", "label", "labels"),
    [
        ([0.9, 0.2, 0.6], 0.5, "cat, fish", ["cat", "fish"]),
        ([0.6, 0.2, 0.9], 0.5, "fish, cat", ["fish", "cat"]),
        ([0.5, 0.2, 0.1], 0.5, "none", []),
        ([0.9, 0.2, 0.6], (0.95, 0.1, 0.5), "fish, dog", ["fish", "dog"]),
    ],
)
def test_several_labels_are_those_above_their_thresholds(
    start_fake: StartFake, scores: Any, threshold: Any, label: str, labels: list[str]
) -> None:
    serve(start_fake, scores, ("DT_FLOAT", -1, 4, 4, 3), {"y": ("DT_FLOAT", -1, 3)})
    classificator = declared(threshold=threshold)()
    (found,) = classificator.classify([PHOTO], top_k=9)
    assert (found.label, [one.label for one in found.predictions]) == (label, labels)
    assert classificator.predict(PHOTO) == label
    assert len(classificator.classify([PHOTO], top_k=1)[0].predictions) <= 1


@pytest.mark.parametrize(
    ("row", "said", "message"),
    [
        ([3.2], {"labels": ("no", "yes")}, "write activation = 'sigmoid'"),
        ([0.5], {"labels": ("no", "yes"), "activation": "softmax"}, "write activation = 'sigmoid'"),
        ([0.1, 0.2, 0.7], {"labels": None}, r"write labels = read_labels\(path\)"),
        ({"wolf": 0.9}, {}, "'wolf' is not one of the 3 labels"),
        ({"cat": "0.9"}, {}, "neither scores nor classes"),
        ([[[0.1, 0.2]], [[0.2, 0.1]]], {"shape": (-1, 2, 1, 2)}, "a classifier returns one score per class"),
        ([[[0.1, 0.2]], [[0.2, 0.1]]], {"shape": (-1, -1, -1, -1)}, "only one size may be above 1"),
        ([1, 2], {"dtype": "DT_INT64", "shape": (-1, 2)}, "2 scores of 3 classes"),
        ([3], {"dtype": "DT_INT64", "shape": (-1, 1)}, "a class index outside the 3 labels"),
        ({"a": [0.1]}, {}, "neither scores nor classes"),
    ],
)
def test_an_answer_of_another_form_is_an_error_that_says_what_to_write(
    start_fake: StartFake, row: Any, said: dict[str, Any], message: str
) -> None:
    output = (said.pop("dtype", "DT_FLOAT"), *said.pop("shape", (-1, 3)))
    serve(start_fake, row, ("DT_FLOAT", -1, 4, 4, 3), {"y": output})
    with pytest.raises(InvalidPredictionError, match=message):
        declared(**said)().predict(PHOTO)


@pytest.mark.parametrize(("batch", "images", "sizes"), [(1, 3, [1, 1, 1]), (2, 3, [2, 2]), (4, 1, [4]), (-1, 3, [3])])
def test_a_model_of_a_fixed_batch_gets_batches_of_that_size(
    start_fake: StartFake, batch: int, images: int, sizes: list[int]
) -> None:
    server = serve(start_fake, [0.1, 0.2, 0.7], ("DT_FLOAT", batch, 4, 4, 3), {"y": ("DT_FLOAT", batch, 3)})
    assert [one.label for one in declared()().classify([PHOTO] * images)] == ["fish"] * images
    assert [len(body["instances"]) for _, body in server.requests] == sizes


@pytest.mark.parametrize(
    ("said", "side"),
    [
        ({"input_size": 224}, 512),
        ({"input_size": 224, "crop": 1.0}, 448),
        ({"input_size": (100, 224), "resize": "stretch"}, 448),
        ({"input_size": 224, "preset": "torchvision"}, 512),
        ({"input_size": 224, "preset": "torchvision", "shorter_side": 232}, 464),
        ({"input_size": 224, "interpolation": "nearest"}, None),
        ({"input_size": 224, "interpolation": "bilinear", "antialias": False}, None),
    ],
)
def test_large_jpegs_are_reduced_only_as_far_as_the_model_does_not_see_it(said: Any, side: int | None) -> None:
    assert declared(**said)().min_image_side == side


def test_the_size_that_only_the_metadata_say_is_used_for_that_too(start_fake: StartFake) -> None:
    serve(start_fake, 0, ("DT_FLOAT", -1, 28, 28, 3), {"y": ("DT_INT64", -1)})
    assert declared(input_size=None)().min_image_side == 64


def test_an_unknown_size_keeps_images_as_they_are(start_fake: StartFake) -> None:
    start_fake(fake.replies(503, {})).metadata = fake.replies(503, {})
    assert declared(input_size=None)().min_image_side is None


def test_bytes_of_a_raw_signature_have_the_form_of_the_tensor_behind_it(start_fake: StartFake) -> None:
    server = serve(start_fake, 0, "DT_STRING", {"y": ("DT_INT64", -1)})
    server.metadata = fake.has_signatures(
        raw=({"x": "DT_STRING"}, {"y": ("DT_INT64", -1)}),
        serving_default=({"x": ("DT_HALF", -1, 3, 6, 6)}, {"y": ("DT_INT64", -1)}),
    )
    classificator = declared(preset="torchvision", input_size=6)()
    instance = classificator.preprocess_input(PHOTO)
    server.metadata = fake.has_signatures(serving_default=({"x": ("DT_HALF", -1, 3, 6, 6)}, {"y": ("DT_INT64", -1)}))
    numbers = declared(preset="torchvision", input_size=6)
    numbers.model_url = f"{server.url}/v1/models/other:predict"  # type: ignore[method-assign, assignment]  # or a str
    memory = np.frombuffer(instance.value, np.float16)
    np.testing.assert_allclose(memory.reshape(3, 6, 6), numbers().preprocess_input(PHOTO).value, atol=2e-3)
