"""Models behind the Open Inference Protocol: our own model server, and what other servers do differently."""

import json

import numpy as np
import pytest
from PIL import Image
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification import catalogue, tf_serving
from moon_vision_challenge.classification.catalogue import ModelState
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.classification.serving.address import ModelAddress
from moon_vision_challenge.classification.serving.metadata import TensorInfo, VersionStatus
from moon_vision_challenge.classification.tests.adding import COFFEE, PHOTOS
from moon_vision_challenge.classification.tests.fake_inference_server import (
    MODEL,
    PIXELS,
    SCORES,
    TENSORS,
    FakeInferenceServer,
)
from moon_vision_challenge.classification.tests.posting import V0
from moon_vision_challenge.classification.tests.test_versions_and_scores import post


def server_url(settings: Settings) -> str:
    """Return the URL of the real model server, which speaks both protocols."""
    return ModelAddress.on(settings.TF_SERVING_URL, "").base


@pytest.fixture
def v2(settings: Settings) -> str:
    """Make the service speak the Open Inference Protocol to the real model server."""
    settings.TF_SERVING_URL = server_url(settings) + "/v2"
    url = dispatcher["efficientnet_lite0"].model_url
    assert url.endswith("/v2/models/efficientnet_lite0/infer")
    return url


def test_the_same_photos_get_the_same_labels_and_scores_as_over_tensorflow_servings_api(settings: Settings) -> None:
    url = server_url(settings)
    settings.TF_SERVING_URL = url
    before = dispatcher["efficientnet_lite0"].classify(PHOTOS, top_k=10)
    settings.TF_SERVING_URL = f"{url}/v2"
    assert dispatcher["efficientnet_lite0"].classify(PHOTOS, top_k=10) == before
    assert dispatcher["efficientnet_lite0"].predict(COFFEE) == "espresso"


@pytest.mark.usefixtures("v2")
def test_the_api_answers_as_over_tensorflow_servings_api(client: APIClient) -> None:
    assert post(client, V0).json() == {"label": "espresso"}
    assert len(post(client, V0 + "?top_k=100").json()["predictions"]) == 100
    assert post(client, V0 + "?version=1").json() == {"label": "espresso"}
    for query, status, code in (
        ("?version=999", 503, "model_version_not_available"),
        ("?version_label=nobody", 400, "unknown_version_label"),
    ):
        response = post(client, V0 + query)
        assert (response.status_code, response.json()["code"]) == (status, code)
    missing = post(client, V0, model_type="resnet")
    assert (missing.status_code, missing.json()["code"]) == (503, "model_not_available")


@pytest.mark.usefixtures("v2")
def test_the_catalogue_shows_state_and_versions() -> None:
    entry = catalogue.get_model("efficientnet_lite0")
    assert (entry.state, entry.versions) == (ModelState.AVAILABLE, [VersionStatus(1, "AVAILABLE")])
    assert catalogue.get_model("resnet").state == ModelState.UNAVAILABLE
    assert catalogue.served_name(dispatcher["resnet"]) == "resnet"


def test_the_tensors_of_a_model_are_its_signature(v2: str) -> None:
    [signature] = metadata.signatures[v2].values()
    assert list(signature.inputs.values()) == [TensorInfo("DT_UINT8", (-1, 224, 224, 3))]


def test_a_class_with_a_payload_of_its_own_works_at_an_infer_url(v2: str) -> None:
    pixels = np.asarray(COFFEE.resize((224, 224)))
    as_numbers = tf_serving.predict(v2, {"instances": [pixels.tolist()]})
    assert as_numbers == tf_serving.predict(v2, {"instances": pixels[np.newaxis]})
    [scores] = as_numbers["predictions"]
    assert isinstance(scores, list)
    assert tf_serving.predict(v2, {"inputs": {"images": [pixels]}}) == {"outputs": [scores]}
    assert tf_serving.predict(v2, {"inputs": [pixels]}) == {"outputs": [scores]}
    [over_v1] = tf_serving.predict(v2.replace("/v2/", "/v1/").replace("/infer", ":predict"), {"instances": [pixels]})[
        "predictions"
    ]
    assert scores == over_v1


def test_numbers_go_as_json_to_a_server_that_does_not_take_binary_data(inference_server: FakeInferenceServer) -> None:
    assert tf_serving.predict(inference_server.infer_url, {"instances": [PIXELS]}) == {"predictions": [[0.1, 0.7, 0.2]]}
    image = {"name": "image", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": list(range(12))}
    assert inference_server.requests == [({"inputs": [image]}, b"")]


def test_numbers_go_as_binary_data_to_a_server_that_takes_them(binary_inference_server: FakeInferenceServer) -> None:
    output = {"name": "scores", "datatype": "FP32", "shape": [2, 3], "parameters": {"binary_data_size": 24}}
    head = json.dumps({"outputs": [output]}).encode()
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)
    binary_inference_server.json_length = len(head)
    binary_inference_server.answers[f"{MODEL}/infer"] = (200, head + scores.tobytes())
    found = tf_serving.predict(binary_inference_server.infer_url, {"instances": [PIXELS, PIXELS]})
    assert found == {"predictions": [[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]]}
    [(request, data)] = binary_inference_server.requests
    assert data == PIXELS.tobytes() * 2
    assert request["inputs"][0]["parameters"] == {"binary_data_size": 24}
    assert request["parameters"] == {"binary_data_output": True}


def test_an_answer_in_json_is_read_from_a_server_that_takes_binary_data(
    binary_inference_server: FakeInferenceServer,
) -> None:
    binary_inference_server.infers(SCORES)
    assert tf_serving.predict(binary_inference_server.infer_url, {"instances": [PIXELS]}) == {
        "predictions": [[0.1, 0.7, 0.2]]
    }


def test_several_outputs_have_names(inference_server: FakeInferenceServer) -> None:
    labels = {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["é"]}
    inference_server.infers(SCORES, labels)
    predictions = tf_serving.predict(inference_server.infer_url, {"instances": [PIXELS]})["predictions"]
    assert predictions == [{"scores": [0.1, 0.7, 0.2], "label": "é"}]
    outputs = tf_serving.predict(inference_server.infer_url, {"inputs": [PIXELS]})["outputs"]
    assert outputs == {"scores": [[0.1, 0.7, 0.2]], "label": ["é"]}


class Jpegs(ServedModelClassificator):
    model_type = "m"
    input_size = 8
    labels = ("a", "b", "c")


@pytest.mark.parametrize("shape", [[-1], [-1, 1]])
def test_a_string_input_gets_a_jpeg_in_the_models_rank(
    binary_inference_server: FakeInferenceServer, shape: list[int]
) -> None:
    inputs = [{"name": "image", "datatype": "BYTES", "shape": shape}]
    binary_inference_server.answers[MODEL] = (200, {"name": "m", "inputs": inputs, "outputs": TENSORS["outputs"]})
    binary_inference_server.infers(SCORES)
    classificator = Jpegs()
    classificator.model_url = binary_inference_server.infer_url
    assert classificator.predict(Image.new("RGB", (9, 9))) == "b"
    [(request, data)] = binary_inference_server.requests
    assert request["inputs"][0]["shape"] == [1] * len(shape)
    assert int.from_bytes(data[:4], "little") == len(data) - 4
    assert data[4:6] == b"\xff\xd8"
