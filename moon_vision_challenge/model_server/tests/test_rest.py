import base64
from typing import Any

import pytest
import requests

from moon_vision_challenge.model_server.tests.conftest import DEADLINE_S, Server

PIXELS = bytes(range(12))


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def test_row_format_answers_one_prediction_an_instance(server: Server) -> None:
    response = server.predict("half", {"instances": [[1, 2.5], [-3, 0]]})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"predictions": [[0.5, 1.25], [-1.5, 0.0]]}


def test_column_format_answers_outputs(server: Server) -> None:
    assert server.predict("half", {"inputs": [[1, 2]]}).json() == {"outputs": [[0.5, 1.0]]}


def test_a_float32_score_keeps_the_digits_that_identify_it_and_no_more(server: Server) -> None:
    assert server.predict("half", {"instances": [[0.2, 1 / 3]]}).text == '{"predictions":[[0.1,0.16666667]]}'


def test_several_inputs_and_outputs_are_named_in_both_formats(server: Server) -> None:
    rows = server.predict("sum", {"instances": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}).json()
    assert rows == {"predictions": [{"total": 3, "same": 1}, {"total": 7, "same": 3}]}
    columns = server.predict("sum", {"inputs": {"a": [1, 3], "b": [2, 4]}}).json()
    assert columns == {"outputs": {"total": [3, 7], "same": [1, 3]}}


def test_raw_bytes_become_pixels(server: Server) -> None:
    body = {"signature_name": "raw", "instances": [b64(PIXELS), {"b64": base64.b64encode(PIXELS[::-1]).decode()}]}
    [first, second] = server.predict("pixels", body).json()["predictions"]
    assert first == [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], [[6.0, 7.0, 8.0], [9.0, 10.0, 11.0]]]
    assert second[0][0] == [11.0, 10.0, 9.0]


def test_many_raw_items_are_answered_in_their_order(server: Server) -> None:
    items = [bytes([number] * 12) for number in range(7)]
    body = {"signature_name": "raw", "instances": [b64(item) for item in items]}
    assert [one[0][0][0] for one in server.predict("pixels", body).json()["predictions"]] == list(range(7))
    no_items = server.predict("pixels", {"signature_name": "raw", "inputs": {"image": []}})
    assert (no_items.status_code, no_items.json()) == (200, {"outputs": []})
    body = {"signature_name": "raw", "instances": [b64(item) for item in [*items[:4], b"short", *items]]}
    assert server.predict("pixels", body).json()["error"].startswith("item 4 of pixels has 5 bytes")


def test_raw_bytes_may_be_named_and_in_columns_and_unpadded(server: Server) -> None:
    named = server.predict("pixels", {"signature_name": "raw", "instances": [{"image": b64(PIXELS)}]})
    columns = server.predict("pixels", {"signature_name": "raw", "inputs": {"image": [b64(PIXELS)]}})
    assert named.json()["predictions"] == columns.json()["outputs"]


def test_a_model_with_custom_signatures_still_takes_plain_numbers(server: Server) -> None:
    assert server.predict("pixels", {"instances": [[[[1, 2, 3]] * 2] * 2]}).json()["predictions"][0][1][1] == [
        1.0,
        2.0,
        3.0,
    ]


def test_strings_come_as_text_or_as_base64(server: Server) -> None:
    assert server.predict("text", {"instances": ["é", b64("ü".encode()), {"b64": "YQ"}]}).json() == {
        "predictions": ["é", "ü", "a"]
    }


def test_nan_and_infinity_pass_in_and_out(server: Server) -> None:
    assert server.predict("half", b'{"instances": [[NaN, -Infinity]]}').text == '{"predictions": [[NaN, -Infinity]]}'


def test_a_result_without_a_batch_needs_the_column_format(server: Server) -> None:
    assert server.predict("scalar", {"inputs": [0]}).text == '{"outputs": Infinity}'
    response = server.predict("scalar", {"instances": [1]})
    assert response.status_code == 400
    assert "no common batch size" in response.json()["error"]


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        ("half", b"", "JSON Parse error"),
        ("half", b"{", "JSON Parse error"),
        ("half", b"\xff", "JSON Parse error"),
        ("half", b'{"x": NaN', "JSON Parse error"),
        ("half", b'{"x": "NaN\xff"}', "JSON Parse error"),
        ("half", b"[" * 90_000, "JSON Parse error"),
        ("half", b"NaN" + b"[" * 90_000, "JSON Parse error"),
        ("half", b"[NaN," + b"[" * 90_000, "JSON Parse error"),
        ("half", b"[1]", "Is not object"),
        ("half", {}, "Missing 'inputs' or 'instances' key"),
        ("half", {"inputs": [], "instances": []}, "only one of"),
        ("half", {"instances": 1}, "list/array"),
        ("half", {"instances": []}, "No values"),
        ("half", {"instances": [[1, 2]], "signature_name": 1}, "'signature_name' key must be a string"),
        ("half", {"instances": [[1, 2]], "signature_name": "raw"}, 'Serving signature name: "raw" not found'),
        ("half", {"instances": [[1, 2], [3]]}, "different sizes"),
        ("half", {"instances": [[1, 2], 3]}, "mixed"),
        ("half", {"instances": [1, [2, 3]]}, "not of expected type"),
        ("half", {"instances": [[1, 2, 3]]}, "invalid dimensions"),
        ("half", {"instances": [1, 2]}, "Invalid rank"),
        ("half", {"instances": [[]]}, "invalid dimensions"),
        ("half", {"inputs": []}, "Invalid rank"),
        ("half", {"inputs": None}, "not of expected type"),
        ("half", {"instances": [["1", "2"]]}, "not of expected type: float"),
        ("half", {"instances": [[True, 2]]}, "not of expected type: float"),
        ("half", {"instances": [[None, 2]]}, "not of expected type: float"),
        ("half", {"instances": [[2**24, 2]]}, "without loss of precision"),
        ("half", {"instances": [[1e39, 2]]}, "without loss of precision"),
        ("half", b'{"instances": [[NaN, 1' + b"0" * 400 + b"]]}", "JSON Parse error: number is infinity"),
        ("half", {"instances": [b64(b"12345678")]}, "not of expected type"),
        ("half", {"instances": [{"x": [1, 2]}, [3, 4]]}, "mixes objects"),
        ("half", {"instances": [[3, 4], {"x": [1, 2]}]}, "mixes objects"),
        ("half", {"instances": [{"y": [1, 2]}]}, "keys must be equal to: x"),
        ("sum", {"instances": [1, 2]}, "multiple input tensors"),
        ("sum", {"inputs": [1, 2]}, "multiple input tensors"),
        ("sum", {"inputs": {"a": [1]}}, "Missing named input: b"),
        ("sum", {"inputs": {"a": [1.5], "b": [1]}}, "not of expected type: int64"),
        ("sum", {"inputs": {"a": [2**63], "b": [1]}}, "Input a"),
        ("sum", {"inputs": {"a": [1, 2, 3], "b": [1, 2]}}, "Add"),
        ("pixels", {"instances": [[[[256, 2, 3]] * 2] * 2]}, "out of bounds"),
        (
            "pixels",
            {"signature_name": "raw", "instances": [b64(PIXELS[1:])]},
            "item 0 of pixels has 11 bytes; 12 are needed",
        ),
        (
            "pixels",
            {"signature_name": "raw", "instances": [b64(PIXELS), b64(PIXELS * 2)]},
            "item 1 of pixels has 24 bytes",
        ),
        ("pixels", {"signature_name": "raw", "instances": [[b64(PIXELS)]]}, "rank 1"),
        ("pixels", {"signature_name": "raw", "inputs": b64(PIXELS)}, "rank -1"),
        ("pixels", {"signature_name": "raw", "instances": [{"b64": "*"}]}, "Unable to base64 decode"),
        ("pixels", {"signature_name": "raw", "instances": [{"b64": "é"}]}, "Unable to base64 decode"),
        ("pixels", {"signature_name": "raw", "instances": [{"b64": 1}]}, "keys must be equal"),
        (
            "pixels",
            {"signature_name": "raw", "inputs": {"image": [{"b64": "", "x": 1}]}},
            "not formatted correctly for base64",
        ),
        ("pixels", {"signature_name": "raw", "instances": [1]}, "not of expected type: string"),
        ("text", {"instances": [b64(b"\xff")]}, "not UTF-8"),
    ],
)
def test_a_bad_request_is_answered_400_with_the_reason(server: Server, model: str, body: Any, message: str) -> None:
    response = server.predict(model, body)
    assert response.status_code == 400
    assert message in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("POST", "/v1/models/nobody:predict", 404, "Servable not found for request: Latest(nobody)"),
        ("POST", "/v1/models/missing:predict", 404, "Servable not found for request: Latest(missing)"),
        ("POST", "/v1/models/broken:predict", 404, "Servable not found for request: Latest(broken)"),
        ("POST", "/v1/models/half/versions/7:predict", 404, "Servable not found for request: Specific(half, 7)"),
        ("POST", "/v1/models/half/labels/new:predict", 400, "Unrecognized servable version label: new"),
        ("POST", "/v1/models/nobody/labels/new:predict", 400, "Unrecognized servable version label: new"),
        ("POST", "/v1/models/half:classify", 501, "classify is not implemented: use predict"),
        ("POST", "/v1/models/half:regress", 501, "regress is not implemented: use predict"),
        ("GET", "/v1/models/nobody", 404, "Could not find any versions of model nobody"),
        ("GET", "/v1/models/half/versions/7", 404, "Could not find version 7 of model half"),
        ("GET", "/v1/models/half/labels/new", 400, "Unrecognized servable version label: new"),
        ("GET", "/v1/models/nobody/metadata", 404, "Servable not found for request: Latest(nobody)"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/half:predict", 400, "Malformed request: GET /v1/models/half:predict"),
        ("POST", "/v1/models/half", 400, "Malformed request: POST /v1/models/half"),
        ("DELETE", "/v1/models/half", 400, "Malformed request: DELETE /v1/models/half"),
        ("GET", "/v1/models/half/versions/x", 400, "Malformed request: GET /v1/models/half/versions/x"),
        (
            "GET",
            "/v1/models/half/versions/" + "9" * 20,
            400,
            "Failed to convert version: " + "9" * 20 + " to numeric.",
        ),
        ("GET", "/", 404, "Malformed request: GET /"),
        ("GET", "/v3", 404, "Malformed request: GET /v3"),
    ],
)
def test_what_is_not_there_is_answered_as_tensorflow_serving_does(
    server: Server, method: str, path: str, status: int, error: str
) -> None:
    response = requests.request(method, server.url + path, json={"instances": [[1, 2]]}, timeout=DEADLINE_S)
    assert response.status_code == status
    assert response.json() == {"error": error}


def test_malformed_json_is_reported_before_an_unknown_model(server: Server) -> None:
    assert server.predict("nobody", b"{").status_code == 400


def test_versions_and_labels_choose_a_version_and_the_newest_is_the_default(server: Server) -> None:
    for path, version in (("half", "10"), ("half/versions/1", "1"), ("half/labels/stable", "2")):
        assert server.predict(path, {"instances": [[2, 4]]}).json() == {"predictions": [[1.0, 2.0]]}
        assert server.get(f"/v1/models/{path}/metadata").json()["model_spec"]["version"] == version


def test_status_lists_the_versions_newest_first(server: Server) -> None:
    statuses = server.get("/v1/models/half").json()["model_version_status"]
    assert [status["version"] for status in statuses] == ["10", "2", "1"]
    assert statuses[0] == {"version": "10", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert server.get("/v1/models/half/versions/2").json() == {"model_version_status": [statuses[1]]}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("broken", "onnxruntime cannot load it"),
        ("saved", "this is a SavedModel"),
        ("empty", "contains neither model.onnx nor saved_model.pb"),
        ("badsignature", "serving_signatures is malformed"),
    ],
)
def test_a_version_that_cannot_be_loaded_is_not_available_and_says_why(server: Server, model: str, reason: str) -> None:
    [status] = server.get(f"/v1/models/{model}").json()["model_version_status"]
    assert status["state"] == "END"
    assert status["status"]["error_code"] != "OK"
    assert reason in status["status"]["error_message"]
    assert f"Model {model} version 1 is NOT available" in server.log.read_text()


@pytest.mark.parametrize("model", ["missing", "unversioned"])
def test_a_listed_model_without_versions_is_not_found_and_logged(server: Server, model: str) -> None:
    assert server.get(f"/v1/models/{model}").status_code == 404
    assert f"Model {model} is NOT available" in server.log.read_text()


def test_metadata_describes_the_signatures(server: Server) -> None:
    signatures = server.get("/v1/models/pixels/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert set(signatures) == {"serving_default", "raw"}
    image = signatures["raw"]["inputs"]["image"]
    assert image == {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "pixels:0",
    }
    assert signatures["raw"]["outputs"]["values"]["dtype"] == "DT_FLOAT"
    assert signatures["raw"]["method_name"] == "tensorflow/serving/predict"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_answered_413(server: Server, chunked: bool) -> None:
    body = b" " * 100_001
    data = iter([body]) if chunked else body
    response = requests.post(f"{server.url}/v1/models/half:predict", data=data, timeout=DEADLINE_S)
    assert response.status_code == 413
    assert "larger than 100000 bytes" in response.json()["error"]


def test_a_chunked_body_within_the_limit_is_read(server: Server) -> None:
    data = iter([b'{"instances": ', b"[[1, 2]]}"])
    response = requests.post(f"{server.url}/v1/models/half:predict", data=data, timeout=DEADLINE_S)
    assert response.json() == {"predictions": [[0.5, 1.0]]}
