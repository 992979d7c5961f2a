"""Faults behind the Open Inference Protocol, and what servers report about themselves."""

import json
import socket
from typing import Any

import numpy as np
import pytest
from pytest_django import Settings

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
from moon_vision_challenge.classification.serving import metadata
from moon_vision_challenge.classification.serving.metadata import ModelStatus, VersionStatus
from moon_vision_challenge.classification.tests.fake_inference_server import (
    MODEL,
    PIXELS,
    SCORES,
    TENSORS,
    FakeInferenceServer,
)


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
    inference_server: FakeInferenceServer, status: int, body: Any, error: type[ClassificationError]
) -> None:
    inference_server.answers[f"{MODEL}/infer"] = (status, body)
    with pytest.raises(ClassificationError) as caught:
        tf_serving.predict(inference_server.infer_url, {"instances": [PIXELS]})
    assert type(caught.value) is error, caught.value
    assert inference_server.url not in caught.value.detail


def test_numbers_that_are_not_finite_are_not_a_prediction(binary_inference_server: FakeInferenceServer) -> None:
    output = {"name": "scores", "datatype": "FP32", "shape": [1, 1], "parameters": {"binary_data_size": 4}}
    head = json.dumps({"outputs": [output]}).encode()
    binary_inference_server.json_length = len(head)
    binary_inference_server.answers[f"{MODEL}/infer"] = (200, head + np.array([np.nan], np.float32).tobytes())
    with pytest.raises(InvalidPredictionError, match="not finite"):
        tf_serving.predict(binary_inference_server.infer_url, {"instances": [PIXELS]})


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
    inference_server: FakeInferenceServer, payload: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidPredictionError, match=message):
        tf_serving.predict(inference_server.infer_url, payload)
    assert inference_server.requests == []


def test_a_version_that_is_not_there_and_a_name_that_is_none_are_told_apart(
    inference_server: FakeInferenceServer,
) -> None:
    inference_server.answers[f"{MODEL}/versions/2"] = inference_server.answers[f"{MODEL}/versions/new"] = (
        inference_server.answers[MODEL]
    )
    with pytest.raises(ModelVersionNotAvailableError):
        tf_serving.predict(f"{inference_server.url}{MODEL}/versions/2/infer", {"instances": [PIXELS]})
    with pytest.raises(UnknownVersionLabelError):
        tf_serving.predict(f"{inference_server.url}{MODEL}/versions/new/infer", {"instances": [PIXELS]})


@pytest.mark.parametrize("version", ["2", "new"])
def test_a_server_without_versions_says_so(inference_server: FakeInferenceServer, version: str) -> None:
    inference_server.answers[f"{MODEL}/versions/{version}"] = (501, {"error": "Model versioning not supported yet."})
    with pytest.raises(VersionNotSelectableError):
        tf_serving.predict(f"{inference_server.url}{MODEL}/versions/{version}/infer", {"instances": [PIXELS]})


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
    inference_server: FakeInferenceServer, versions: Any, ready: int, status: ModelStatus
) -> None:
    inference_server.answers[MODEL] = (200, {"name": "m", "versions": versions, **TENSORS})
    inference_server.answers[f"{MODEL}/ready"] = (ready, b"")
    assert metadata.statuses[inference_server.infer_url] == status


def test_a_model_without_numbered_versions_is_available(
    inference_server: FakeInferenceServer, settings: Settings
) -> None:
    settings.TF_SERVING_URL = f"{inference_server.url}/v2/"
    inference_server.answers["/v2/models/resnet"] = (200, {"name": "resnet", **TENSORS})
    inference_server.answers["/v2/models/resnet/ready"] = (200, b"")
    assert catalogue.get_model("resnet").state == ModelState.AVAILABLE
    assert metadata.statuses[dispatcher["resnet"].model_url].serves(None)
    assert not metadata.statuses[dispatcher["resnet"].model_url].serves(1)


@pytest.mark.parametrize(
    "body", [b"<html>", {}, {"inputs": 1, "outputs": []}, {"inputs": [{"name": "x"}], "outputs": []}]
)
def test_metadata_of_another_form_are_not_a_models_metadata(inference_server: FakeInferenceServer, body: Any) -> None:
    inference_server.answers[MODEL] = (200, body)
    with pytest.raises(InvalidPredictionError):
        metadata.signatures[inference_server.infer_url]


def test_a_server_that_does_not_answer_is_unavailable_and_its_state_unknown() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}{MODEL}/infer"
        with pytest.raises(ModelServerUnavailableError):
            tf_serving.predict(url, {"instances": [PIXELS]})
        assert metadata.statuses[url].versions is None


def test_a_server_without_its_own_metadata_gets_json(inference_server: FakeInferenceServer) -> None:
    inference_server.answers["/v2"] = (404, b"")
    assert tf_serving.predict(inference_server.infer_url, {"instances": [PIXELS]})["predictions"]
    assert inference_server.requests[0][0]["inputs"][0]["data"] == list(range(12))


def test_a_server_that_fails_is_asked_again_what_it_takes(binary_inference_server: FakeInferenceServer) -> None:
    binary_inference_server.answers[f"{MODEL}/infer"] = (400, {"error": "this is not JSON"})
    binary_inference_server.answers["/v2"] = (200, {"extensions": ["binary_tensor_data"]})
    with pytest.raises(InvalidPredictionError):
        tf_serving.predict(binary_inference_server.infer_url, {"instances": [PIXELS]})
    binary_inference_server.answers["/v2"] = (200, {"extensions": []})
    binary_inference_server.infers(SCORES)
    assert tf_serving.predict(binary_inference_server.infer_url, {"instances": [PIXELS]})["predictions"]
    assert "data" in binary_inference_server.requests[-1][0]["inputs"][0]
