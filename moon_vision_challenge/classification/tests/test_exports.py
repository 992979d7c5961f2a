"""Models with the signatures of common exports, on the real model server, called through a declaration.

The trainer's own preprocessing is repeated here in Pillow and NumPy. onnxruntime runs the same file on the result.
Label and score must be the same.
"""

import json
from collections.abc import Iterator

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.classification.tests.exports import EXPORTS, FILES, LABELS
from moon_vision_challenge.model_io.tests.networks import CLASSES, save_network
from moon_vision_challenge.model_server.tests.conftest import Server, models_config, start_server
from native.environment import ROOT

COFFEE = Image.open(ROOT / "samples" / "coffee.jpg").convert("RGB")
PHOTOS = [COFFEE, COFFEE.crop((40, 10, 301, 350)), COFFEE.resize((97, 61)), COFFEE.crop((0, 0, 333, 333))]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("exports")
    for name, export in EXPORTS.items():
        version = folder / "models" / name / "1"
        save_network(version / "model.onnx", export.shape, **export.network)
        for file, content in FILES.get(name, {}).items():
            (version / file).write_text(json.dumps(content))
    (folder / "models.config").write_text(models_config(*EXPORTS))
    running = start_server(folder)
    yield running
    assert running.stop() == 0, running.log.read_text()


def declared(name: str, server: Server) -> ServedModelClassificator:
    said = dict(EXPORTS[name].said)
    if name in FILES:
        said["preset_dir"] = server.log.parent / "models" / name / "1"
    made: ServedModelClassificator = type(name, (ServedModelClassificator,), {"model_type": name, **said})()
    made.model_url = f"{server.url}/v1/models/{name}:predict"
    return made


def run(name: str, server: Server, image: Image.Image) -> np.ndarray:
    path = server.log.parent / "models" / name / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: EXPORTS[name].trainer(image)[None]})
    found: np.ndarray = outputs[-1][0]
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits.astype(np.float64) - logits.max())
    found: np.ndarray = exponents / exponents.sum()
    return found


WITH_SCORES = [name for name in EXPORTS if not name.startswith(("one", "index", "column", "text", "sigmoids"))]


@pytest.mark.parametrize("name", WITH_SCORES)
def test_labels_and_scores_are_those_of_the_trainers_own_pixels(server: Server, name: str) -> None:
    classificator = declared(name, server)
    for image, found in zip(PHOTOS, classificator.classify(PHOTOS, top_k=3), strict=True):
        expected = run(name, server, image).reshape(-1)
        if classificator.declaration.activation == "softmax":
            expected = softmax(expected)
        if name == "background":
            expected = np.concatenate([[0], expected[1:]])
        best = np.argsort(-expected)[:3]
        assert [one.label for one in found.predictions] == [LABELS[index] for index in best]
        scores = np.array([one.score for one in found.predictions], float)
        np.testing.assert_allclose(scores, expected[best], atol=1e-3)
        assert found.label == found.predictions[0].label


def test_several_independent_labels_are_all_that_are_above_the_threshold(server: Server) -> None:
    for image, found in zip(PHOTOS, declared("sigmoids", server).classify(PHOTOS, top_k=CLASSES), strict=True):
        expected = run("sigmoids", server, image)
        above = [LABELS[index] for index in np.argsort(-expected) if expected[index] > 0.5]
        assert [one.label for one in found.predictions] == above
        assert found.label == ", ".join(above)


@pytest.mark.parametrize("name", ["one_sigmoid", "one_logit"])
def test_one_sigmoid_is_the_score_of_the_second_of_two_labels(server: Server, name: str) -> None:
    for image, found in zip(PHOTOS, declared(name, server).classify(PHOTOS, top_k=5), strict=True):
        [number] = run(name, server, image)
        score = number if name == "one_sigmoid" else 1 / (1 + np.exp(-number))
        assert found.label == ("yes" if score > 0.5 else "no")
        scores = {one.label: one.score for one in found.predictions}
        assert scores == {"yes": pytest.approx(score, abs=1e-3), "no": pytest.approx(1 - score, abs=1e-3)}


@pytest.mark.parametrize(("name", "label"), [("index", "class {}"), ("column", "class {}"), ("text", "{}")])
def test_an_index_or_a_text_is_the_label(server: Server, name: str, label: str) -> None:
    for image, found in zip(PHOTOS, declared(name, server).classify(PHOTOS, top_k=5), strict=True):
        expected = np.asarray(run(name, server, image)).reshape(-1)[0]
        assert found.label == label.format(expected)
        assert len(found.predictions) == 1
