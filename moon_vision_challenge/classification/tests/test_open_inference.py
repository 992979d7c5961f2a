"""Models behind the Open Inference Protocol: our own model server, and what other servers do differently."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification import catalogue, tf_serving
from moon_vision_challenge.classification.catalogue import ModelState
from moon_vision_challenge.classification.dispatchers import dispatcher
from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    InvalidPredictionError,
    ModelNotAvailableError,
    ModelServerTimeoutError,
    ModelServerUnavailableError,
    ModelVersionNotAvailableError,
    UnknownVersionLabelError,
    VersionNotSelectableError,
)
from moon_vision_challenge.classification.served_model import ServedModelClassificator
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.classification.serving.address import ModelAddress
from moon_vision_challenge.classification.serving.metadata import ModelStatus, TensorInfo, VersionStatus
from moon_vision_challenge.classification.tests.adding import COFFEE, PHOTOS
from moon_vision_challenge.classification.tests.fake_inference_server import (
    MODEL,
    TENSORS,
    FakeInferenceServer,
    fake_inference_server,
)
from moon_vision_challenge.classification.tests.posting import V0
from moon_vision_challenge.classification.tests.test_versions_and_scores import post

PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
SCORES = {"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": [0.1, 0.7, 0.2]}


def server_url(settings: Settings) -> str:
    """Of the real model server, which speaks both protocols."""
    return ModelAddress.on(settings.TF_SERVING_URL, "").base


@pytest.fixture
def v2(settings: Settings) -> str:
    """Make the service speak the Open Inference Protocol to the real model server."""
    settings.TF_SERVING_URL = server_url(settings) + "/v2"
    url = dispatcher["efficientnet_lite0"].model_url
    assert url.endswith("/v2/models/efficientnet_lite0/infer")
    return url


@pytest.fixture
def server() -> Iterator[FakeInferenceServer]:
    with fake_inference_server() as server:
        server.infers(SCORES)
        yield server


@pytest.fixture
def binary_server() -> Iterator[FakeInferenceServer]:
    with fake_inference_server("model_repository", "binary_tensor_data") as server:
        yield server


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


def test_numbers_go_as_json_to_a_server_that_does_not_take_binary_data(server: FakeInferenceServer) -> None:
    assert tf_serving.predict(server.infer_url, {"instances": [PIXELS]}) == {"predictions": [[0.1, 0.7, 0.2]]}
    image = {"name": "image", "shape": [1, 2, 2, 3], "datatype": "UINT8", "data": list(range(12))}
    assert server.requests == [({"inputs": [image]}, b"")]


def test_numbers_go_as_binary_data_to_a_server_that_takes_them(binary_server: FakeInferenceServer) -> None:
    output = {"name": "scores", "datatype": "FP32", "shape": [2, 3], "parameters": {"binary_data_size": 24}}
    head = json.dumps({"outputs": [output]}).encode()
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)
    binary_server.json_length = len(head)
    binary_server.answers[f"{MODEL}/infer"] = (200, head + scores.tobytes())
    found = tf_serving.predict(binary_server.infer_url, {"instances": [PIXELS, PIXELS]})
    assert found == {"predictions": [[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]]}
    [(request, data)] = binary_server.requests
    assert data == PIXELS.tobytes() * 2
    assert request["inputs"][0]["parameters"] == {"binary_data_size": 24}
    assert request["parameters"] == {"binary_data_output": True}


def test_an_answer_in_json_is_read_from_a_server_that_takes_binary_data(binary_server: FakeInferenceServer) -> None:
    binary_server.infers(SCORES)
    assert tf_serving.predict(binary_server.infer_url, {"instances": [PIXELS]}) == {"predictions": [[0.1, 0.7, 0.2]]}


def test_several_outputs_have_names(server: FakeInferenceServer) -> None:
    labels = {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["é"]}
    server.infers(SCORES, labels)
    predictions = tf_serving.predict(server.infer_url, {"instances": [PIXELS]})["predictions"]
    assert predictions == [{"scores": [0.1, 0.7, 0.2], "label": "é"}]
    outputs = tf_serving.predict(server.infer_url, {"inputs": [PIXELS]})["outputs"]
    assert outputs == {"scores": [[0.1, 0.7, 0.2]], "label": ["é"]}


class Jpegs(ServedModelClassificator):
    model_type = "m"
    input_size = 8
    labels = ("a", "b", "c")


@pytest.mark.parametrize("shape", [[-1], [-1, 1]])
def test_a_string_input_gets_a_jpeg_in_the_models_rank(binary_server: FakeInferenceServer, shape: list[int]) -> None:
    inputs = [{"name": "image", "datatype": "BYTES", "shape": shape}]
    binary_server.answers[MODEL] = (200, {"name": "m", "inputs": inputs, "outputs": TENSORS["outputs"]})
    binary_server.infers(SCORES)
    classificator = Jpegs()
    classificator.model_url = binary_server.infer_url
    assert classificator.predict(Image.new("RGB", (9, 9))) == "b"
    [(request, data)] = binary_server.requests
    assert request["inputs"][0]["shape"] == [1] * len(shape)
    assert int.from_bytes(data[:4], "little") == len(data) - 4
    assert data[4:6] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, {"error": "Model m not found"}, ModelNotAvailableError),
        (400, {"error": "Request for unknown model: 'm' is not found"}, ModelNotAvailableError),
        (400, {"error": "Model m is not ready yet."}, ModelNotAvailableError),
        (503, {"error": "Model with name m is not ready."}, ModelNotAvailableError),
        (400, {"error": "unexpected shape for input 'image'"}, InvalidPredictionError),
        (422, {"detail": "no input"}, InvalidPredictionError),
        (429, b"", ModelServerUnavailableError),
        (500, b"oops", InvalidPredictionError),
        (503, {"error": "Exceeds maximum queue size"}, ModelServerUnavailableError),
        (504, b"", ModelServerTimeoutError),
        (200, b"<html>", InvalidPredictionError),
        (200, b"[]", InvalidPredictionError),
        (200, {}, InvalidPredictionError),
        (200, {"outputs": []}, InvalidPredictionError),
        (200, {"outputs": [1]}, InvalidPredictionError),
        (200, {"outputs": [{**SCORES, "shape": [1, 2]}]}, InvalidPredictionError),
        (200, {"outputs": [{**SCORES, "shape": [-1]}]}, InvalidPredictionError),
        (200, {"outputs": [{**SCORES, "datatype": "BF16"}]}, InvalidPredictionError),
        (200, {"outputs": [{**SCORES, "data": [0.1, "x", 0.2]}]}, InvalidPredictionError),
        (200, {"outputs": [{**SCORES, "data": None}]}, InvalidPredictionError),
        (200, {"outputs": [{**SCORES, "parameters": {"binary_data_size": 12}}]}, InvalidPredictionError),
        (200, {"outputs": [{**SCORES, "parameters": {"binary_data_size": "12"}}]}, InvalidPredictionError),
        (200, {"outputs": [SCORES, {**SCORES, "name": "x", "shape": [3]}]}, InvalidPredictionError),
        (200, {"outputs": [{"name": "x", "datatype": "FP32", "shape": [], "data": [1]}]}, InvalidPredictionError),
    ],
)
def test_every_fault_becomes_one_error(
    server: FakeInferenceServer, status: int, body: Any, error: type[ClassificationError]
) -> None:
    server.answers[f"{MODEL}/infer"] = (status, body)
    with pytest.raises(ClassificationError) as caught:
        tf_serving.predict(server.infer_url, {"instances": [PIXELS]})
    assert type(caught.value) is error, caught.value
    assert server.url not in caught.value.detail


def test_numbers_that_are_not_finite_are_not_a_prediction(binary_server: FakeInferenceServer) -> None:
    output = {"name": "scores", "datatype": "FP32", "shape": [1, 1], "parameters": {"binary_data_size": 4}}
    head = json.dumps({"outputs": [output]}).encode()
    binary_server.json_length = len(head)
    binary_server.answers[f"{MODEL}/infer"] = (200, head + np.array([np.nan], np.float32).tobytes())
    with pytest.raises(InvalidPredictionError, match="not finite"):
        tf_serving.predict(binary_server.infer_url, {"instances": [PIXELS]})


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "neither 'instances' nor 'inputs'"),
        ({"instances": [PIXELS], "signature_name": "raw"}, "has no signatures"),
        ({"instances": [{"other": 1}]}, "has no input image"),
        ({"inputs": {"other": 1}}, "has no input image"),
        ({"instances": [[1, 2], [3]]}, "the input image"),
        ({"instances": [PIXELS - 1.5]}, "not of the type uint8"),
        ({"instances": [[256]]}, "not of the type uint8"),
        ({"instances": ["text"]}, "not numbers"),
    ],
)
def test_a_payload_that_does_not_fit_the_model_is_not_sent(
    server: FakeInferenceServer, payload: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidPredictionError, match=message):
        tf_serving.predict(server.infer_url, payload)
    assert server.requests == []


def test_a_version_that_is_not_there_and_a_name_that_is_none_are_told_apart(server: FakeInferenceServer) -> None:
    server.answers[f"{MODEL}/versions/2"] = server.answers[f"{MODEL}/versions/new"] = server.answers[MODEL]
    with pytest.raises(ModelVersionNotAvailableError):
        tf_serving.predict(f"{server.url}{MODEL}/versions/2/infer", {"instances": [PIXELS]})
    with pytest.raises(UnknownVersionLabelError):
        tf_serving.predict(f"{server.url}{MODEL}/versions/new/infer", {"instances": [PIXELS]})


@pytest.mark.parametrize("version", ["2", "new"])
def test_a_server_without_versions_says_so(server: FakeInferenceServer, version: str) -> None:
    server.answers[f"{MODEL}/versions/{version}"] = (501, {"error": "Model versioning not supported yet."})
    with pytest.raises(VersionNotSelectableError):
        tf_serving.predict(f"{server.url}{MODEL}/versions/{version}/infer", {"instances": [PIXELS]})


@pytest.mark.parametrize(
    ("versions", "ready", "status"),
    [
        (["1", "10", "2"], 200, ModelStatus([VersionStatus(number, "AVAILABLE") for number in (10, 2, 1)])),
        (["1"], 503, ModelStatus([VersionStatus(1, "LOADING")])),
        (None, 200, ModelStatus([], is_available_unversioned=True)),
        ([], 200, ModelStatus([], is_available_unversioned=True)),
        (["v0.1.0"], 200, ModelStatus([], is_available_unversioned=True)),
        (["v0.1.0"], 400, ModelStatus([])),
        ("1", 200, ModelStatus(None)),
    ],
)
def test_versions_are_those_that_the_server_numbers(
    server: FakeInferenceServer, versions: Any, ready: int, status: ModelStatus
) -> None:
    server.answers[MODEL] = (200, {"name": "m", "versions": versions, **TENSORS})
    server.answers[f"{MODEL}/ready"] = (ready, b"")
    assert metadata.statuses[server.infer_url] == status


def test_a_model_without_numbered_versions_is_available(server: FakeInferenceServer, settings: Settings) -> None:
    settings.TF_SERVING_URL = f"{server.url}/v2/"
    server.answers["/v2/models/resnet"] = (200, {"name": "resnet", **TENSORS})
    server.answers["/v2/models/resnet/ready"] = (200, b"")
    assert catalogue.get_model("resnet").state == ModelState.AVAILABLE
    assert metadata.statuses[dispatcher["resnet"].model_url].serves(None)
    assert not metadata.statuses[dispatcher["resnet"].model_url].serves(1)


@pytest.mark.parametrize(
    "body", [b"<html>", {}, {"inputs": 1, "outputs": []}, {"inputs": [{"name": "x"}], "outputs": []}]
)
def test_metadata_of_another_form_are_not_a_models_metadata(server: FakeInferenceServer, body: Any) -> None:
    server.answers[MODEL] = (200, body)
    with pytest.raises(InvalidPredictionError):
        metadata.signatures[server.infer_url]


def test_a_server_that_does_not_answer_is_unavailable_and_its_state_unknown() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}{MODEL}/infer"
        with pytest.raises(ModelServerUnavailableError):
            tf_serving.predict(url, {"instances": [PIXELS]})
        assert metadata.statuses[url].versions is None


def test_a_server_without_its_own_metadata_gets_json(server: FakeInferenceServer) -> None:
    server.answers["/v2"] = (404, b"")
    assert tf_serving.predict(server.infer_url, {"instances": [PIXELS]})["predictions"]
    assert server.requests[0][0]["inputs"][0]["data"] == list(range(12))


def test_a_server_that_fails_is_asked_again_what_it_takes(binary_server: FakeInferenceServer) -> None:
    binary_server.answers[f"{MODEL}/infer"] = (400, {"error": "this is not JSON"})
    binary_server.answers["/v2"] = (200, {"extensions": ["binary_tensor_data"]})
    with pytest.raises(InvalidPredictionError):
        tf_serving.predict(binary_server.infer_url, {"instances": [PIXELS]})
    binary_server.answers["/v2"] = (200, {"extensions": []})
    binary_server.infers(SCORES)
    assert tf_serving.predict(binary_server.infer_url, {"instances": [PIXELS]})["predictions"]
    assert "data" in binary_server.requests[-1][0]["inputs"][0]
