"""The Open Inference Protocol. test_triton_client.py tests it with a third-party client."""

import gzip
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import requests

from moon_vision_challenge.model_server.tests.conftest import DEADLINE_S, Server

PIXELS = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
LENGTH = "Inference-Header-Content-Length"
NUMPY = {"FP32": np.float32, "INT64": np.int64, "UINT8": np.uint8}


def post(server: Server, path: str, body: bytes, **headers: str) -> requests.Response:
    return requests.post(f"{server.url}/v2/models/{path}/infer", data=body, headers=headers, timeout=DEADLINE_S)


def infer(server: Server, model: str, request: Any, binary: bytes = b"") -> requests.Response:
    head = request if isinstance(request, bytes) else json.dumps(request).encode()
    length = {LENGTH: str(len(head))} if binary else {}
    return post(server, model, head + binary, **length)


def arrays(response: requests.Response) -> dict[str, Any]:
    """Return the outputs of a 200 as lists, and BYTES of binary data as bytes."""
    assert response.status_code == 200, response.text
    length = int(response.headers.get(LENGTH, len(response.content)))
    is_binary = response.headers["content-type"] == "application/octet-stream"
    assert is_binary == (LENGTH in response.headers)
    answer, binary = json.loads(response.content[:length]), response.content[length:]
    found: dict[str, Any] = {}
    for output in answer["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size", 0)
        data, binary = binary[:size], binary[size:]
        if "data" in output:
            found[output["name"]] = np.array(output["data"]).reshape(output["shape"]).tolist()
        elif output["datatype"] == "BYTES":
            found[output["name"]] = data
        else:
            numbers = np.frombuffer(data, NUMPY[output["datatype"]])
            found[output["name"]] = numbers.reshape(output["shape"]).tolist()
    assert binary == b""
    return found


def binary_request(
    tensors: Mapping[str, tuple[str, list[int], Any]], *, is_output_binary: bool = True
) -> dict[str, Any]:
    """Return the JSON of a request. A tensor is (datatype, shape, size of its data)."""
    inputs = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
        for name, (datatype, shape, size) in tensors.items()
    ]
    return {"inputs": inputs, "parameters": {"binary_data_output": is_output_binary}}


def half(shape: Any = (1, 2), **fields: Any) -> dict[str, Any]:
    """Return a request to the model that halves pairs of floats."""
    return {"inputs": [{"name": "x", "shape": shape, "datatype": "FP32", "data": [1, 2.5], **fields}]}


def test_a_model_tells_its_versions_and_tensors(server: Server) -> None:
    assert "binary_tensor_data" in server.get("/v2").json()["extensions"]
    assert server.get("/v2/models/pixels").json() == {
        "name": "pixels",
        "versions": ["1"],
        "platform": "moon_vision_challenge",
        "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [-1, 2, 2, 3]}],
        "outputs": [{"name": "values", "datatype": "FP32", "shape": [-1, 2, 2, 3]}],
    }
    assert server.get("/v2/models/half").json()["versions"] == ["1", "2", "10"]
    assert server.get("/v2/models/half/versions/2").json()["versions"] == ["2"]


@pytest.mark.parametrize("is_input_binary", [True, False])
@pytest.mark.parametrize("is_output_binary", [True, False])
@pytest.mark.parametrize("is_gzip", [True, False])
def test_numbers_are_the_same_as_json_and_as_binary_data(
    server: Server, is_input_binary: bool, is_output_binary: bool, is_gzip: bool
) -> None:
    pixels = np.concatenate([PIXELS + number for number in range(7)])  # more than one run of the model
    memory = pixels.tobytes() if is_input_binary else b""
    shape = list(pixels.shape)
    request = binary_request({"pixels": ("UINT8", shape, len(memory))}, is_output_binary=is_output_binary)
    if not is_input_binary:
        request["inputs"][0] = {"name": "pixels", "datatype": "UINT8", "shape": shape, "data": pixels.tolist()}
    head = json.dumps(request).encode()
    body = gzip.compress(head + memory) if is_gzip else head + memory
    headers = {"Content-Encoding": "gzip"} if is_gzip else {}
    headers |= {LENGTH: str(len(head))} if is_input_binary else {}
    answer = post(server, "pixels", body, **headers)
    assert arrays(answer) == {"values": pixels.tolist()}
    assert (LENGTH in answer.headers) == is_output_binary


def test_each_output_may_be_binary_or_json_or_left_out(server: Server) -> None:
    ints = np.array([[1, 2**60], [3, 4]])
    request = binary_request({"b": ("INT64", [2], 16), "a": ("INT64", [2], 16)})
    both = infer(server, "sum", {**request, "id": "7"}, ints.tobytes())
    assert arrays(both) == {"total": [4, 2**60 + 4], "same": [3, 4]}
    assert b'"id":"7"' in both.content
    outputs = [{"name": "same", "parameters": {"binary_data": False}}, {"name": "total"}]
    mixed = infer(server, "sum", {**request, "outputs": outputs}, ints.tobytes())
    assert arrays(mixed) == {"same": [3, 4], "total": [4, 2**60 + 4]}
    assert b'"data":[3,4]' in mixed.content
    one = infer(server, "sum", {**request, "outputs": outputs[1:]}, ints.tobytes())
    assert arrays(one) == {"total": [4, 2**60 + 4]}


def test_strings_are_text_in_json_and_have_their_length_in_binary_data(server: Server) -> None:
    memory = b"".join(struct.pack("<I", len(item)) + item for item in ("é".encode(), b"", b"abc"))
    request = binary_request({"text": ("BYTES", [3], len(memory))})
    assert arrays(infer(server, "text", request, memory)) == {"same": memory}
    tensor = {"name": "text", "datatype": "BYTES", "shape": [3], "data": ["é", "", "abc"]}
    assert arrays(infer(server, "text", {"inputs": [tensor]})) == {"same": ["é", "", "abc"]}


def test_an_array_without_a_dimension_is_refused(server: Server) -> None:
    answer = infer(server, "pixels", {"inputs": [{"name": "pixels", "shape": [], "datatype": "UINT8", "data": [1]}]})
    assert answer.status_code == server.predict("pixels", {"inputs": 1}).status_code == 400


def test_a_version_is_chosen_in_the_path(server: Server) -> None:
    assert infer(server, "half", half()).json()["model_version"] == "10"
    assert infer(server, "half/versions/1", half()).json()["model_version"] == "1"


def test_a_version_label_takes_the_place_of_a_version(server: Server) -> None:
    found = requests.post(f"{server.url}/v2/models/half/versions/stable/infer", json=half(), timeout=DEADLINE_S)
    assert found.json()["model_version"] == "2"
    assert server.get("/v2/models/half/versions/stable").json()["versions"] == ["2"]
    unknown = server.get("/v2/models/half/versions/nothing")
    assert (unknown.status_code, unknown.json()) == (400, {"error": "Unrecognized servable version label: nothing"})


def test_json_data_may_be_nested(server: Server) -> None:
    answer = infer(server, "half", half([2, 2], data=[[1, 2], [3, 4]])).json()
    assert answer == {
        "model_name": "half",
        "model_version": "10",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [0.5, 1.0, 1.5, 2.0]}],
    }


def test_numbers_that_json_cannot_hold_are_written_as_python_writes_them(server: Server) -> None:
    answer = infer(server, "half", b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[NaN,-Infinity]}]}')
    assert '"data": [NaN, -Infinity]' in answer.text


@pytest.mark.parametrize(
    ("model", "request_", "binary", "message"),
    [
        ("half", b"", b"", "JSON Parse error"),
        ("half", b"{", b"", "JSON Parse error"),
        ("half", b"[]", b"", "Is not object"),
        ("half", {}, b"", "'inputs' must be a list"),
        ("half", {"inputs": [1]}, b"", "'inputs' must be a list of objects"),
        ("half", {"inputs": []}, b"", "Missing inputs: x"),
        ("half", half(name="y"), b"", "no input 'y'"),
        ("half", half(name=1), b"", "'name' must be a string"),
        ("half", {"inputs": half()["inputs"] * 2}, b"", "given twice"),
        ("half", half(datatype="FP64"), b"", "datatype is FP32, not FP64"),
        ("half", half(shape=None), b"", "a shape is a list"),
        ("half", half(shape=[True, 2]), b"", "whole number"),
        ("half", half(shape=[-1, 2]), b"", "whole number"),
        ("half", half(shape=[0, 2**31 - 1, 2**31 - 1]), b"", "holds more than"),
        ("half", half(shape=[1] * 33), b"", "at most 32 sizes"),
        ("half", half(shape=[2, 2]), b"", "2 items; 4 are needed"),
        ("half", half(shape=[2]), b"", "Invalid rank"),
        ("half", half(shape=[], data=[1]), b"", "Invalid rank"),
        ("half", half(data=None), b"", "'data' is a list"),
        ("half", half(data=[1, "2"]), b"", "'2' is not of the datatype FP32"),
        ("half", half(data=[1, [2]]), b"", "is not of the datatype"),
        ("half", half(data=[[1], 2]), b"", "mixed"),
        ("half", half(data=[1, 1e39]), b"", "too large"),
        ("half", half(parameters=1), b"", "'parameters' must be an object"),
        ("half", half(parameters={"binary_data_size": 8}), b"12345678", "both 'data' and"),
        ("half", half(), b"1", "1 bytes follow"),
        ("half", {**half(), "id": 1}, b"", "'id' must be a string"),
        ("half", {**half(), "outputs": {}}, b"", "'outputs' must be a list"),
        ("half", {**half(), "outputs": [{"name": "z"}]}, b"", "no output 'z'"),
        ("half", {**half(), "parameters": {"binary_data_output": 1}}, b"", "binary_data_output must be true or false"),
        ("half", {**half(), "outputs": [{"name": "y", "parameters": {"classification": 3}}]}, b"", "classification"),
    ],
)
def test_a_malformed_request_is_refused_with_400(
    server: Server, model: str, request_: Any, binary: bytes, message: str
) -> None:
    response = infer(server, model, request_, binary)
    assert response.status_code == 400, response.text
    assert message in response.json()["error"]


@pytest.mark.parametrize(
    ("model", "shape", "size", "binary", "message"),
    [
        ("half", [1, 2], 9, b"12345678", "only 8|8 bytes of binary data remain"),
        ("half", [1, 2], -1, b"12345678", "binary_data_size is -1"),
        ("half", [1, 2], True, b"12345678", "binary_data_size is True"),
        ("half", [1, 2], 4, b"1234", "4 bytes; 8 are needed"),
        ("half", [1, 2], 8, b"123456789", "1 bytes follow"),
        ("text", [2], 5, struct.pack("<I", 1) + b"a", "too few for 2 items"),
        ("text", [1], 5, struct.pack("<I", 2) + b"a", "end within item 0 of 1"),
        ("text", [1], 6, struct.pack("<I", 1) + b"ab", "1 bytes follow the last"),
        ("text", [1], 5, struct.pack("<I", 1) + b"\xff", "not UTF-8"),
    ],
)
def test_binary_data_of_another_length_are_refused_with_400(
    server: Server, model: str, shape: list[int], size: Any, binary: bytes, message: str
) -> None:
    name, datatype = ("x", "FP32") if model == "half" else ("text", "BYTES")
    response = infer(server, model, binary_request({name: (datatype, shape, size)}), binary)
    assert response.status_code == 400, response.text
    assert any(part in response.json()["error"] for part in message.split("|"))


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "9" * 30, "100000"])
def test_a_wrong_length_of_the_json_is_refused_with_400(server: Server, length: str) -> None:
    response = post(server, "half", json.dumps(half()).encode(), **{"Inference-Header-Content-Length": length})
    assert response.status_code == 400
    assert "Inference-Header-Content-Length" in response.json()["error"]


def test_no_items_are_answered_with_none(server: Server) -> None:
    answer = infer(server, "half", half([0, 2], data=[]))
    assert (answer.status_code, answer.json()["outputs"][0]["shape"]) == (200, [0, 2])


@pytest.mark.parametrize("content", [b"x" * 100_001, gzip.compress(b" " * 100_001)])
def test_a_body_above_the_limit_is_refused_with_413(server: Server, content: bytes) -> None:
    encoding = {"Content-Encoding": "gzip"} if content.startswith(b"\x1f") else {}
    assert post(server, "half", content, **encoding).status_code == 413


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2", 200),
        ("/v2/health/live", 200),
        ("/v2/health/ready", 400),
        ("/v2/models/half/ready", 200),
        ("/v2/models/broken", 404),
        ("/v2/models/broken/ready", 404),
        ("/v2/models/nothing", 404),
        ("/v2/models/half/versions/99999999999999999999", 400),
        ("/v2/models/half/infer", 404),
        ("/v2/models", 404),
        ("/v2x", 404),
    ],
)
def test_every_path_has_its_status(server: Server, path: str, status: int) -> None:
    response = server.get(path)
    assert response.status_code == status
    assert ("error" in response.json()) == (status != 200)


def test_inferences_are_counted_with_the_predictions(server: Server) -> None:
    def count() -> float:
        page = server.get("/monitoring/prometheus/metrics").text
        line = next(line for line in page.splitlines() if 'request_count{model_name="sum",status="INV' in line)
        return float(line.rpartition(" ")[2])

    assert infer(server, "sum", {}).status_code == 400
    before = count()
    assert infer(server, "sum", {}).status_code == 400
    assert count() == before + 1
