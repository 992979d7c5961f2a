"""The real server gives the answers that TensorFlow Serving's own tests and documentation state."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from onnx import TensorProto, helper

from moon_vision_challenge.model_server.tests.conftest import (
    DEADLINE_S,
    Server,
    models_config,
    save_model,
    start_server,
)
from moon_vision_challenge.model_server.tests.fidelity.predict import FORMATS, Predict
from moon_vision_challenge.model_server.tests.fidelity.requests import REQUESTS, Request
from moon_vision_challenge.model_server.tests.fidelity.values import VALUES

PREDICT = [*FORMATS, *VALUES]
TYPES = {
    "float": TensorProto.FLOAT,
    "double": TensorProto.DOUBLE,
    "string": TensorProto.STRING,
    "bool": TensorProto.BOOL,
    **{name: getattr(TensorProto, name.upper()) for name in ("int8", "uint8", "int32", "uint32", "int64", "uint64")},
}
LIMIT = 10_000
BODY = gzip.compress(b'{"instances": [1, 2]}')


def save_echo(path: Path, outputs: dict[str, tuple[str, int]]) -> None:
    """Save a model that returns its inputs. `outputs` has the input and type of each output. Every shape is free."""
    nodes = [helper.make_node("Identity", [source], [target]) for target, (source, _) in outputs.items()]
    sources = dict(outputs.values())
    save_model(
        path,
        nodes,
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in sources.items()],
        [helper.make_tensor_value_info(name, dtype, None) for name, (_, dtype) in outputs.items()],
    )


def save_sums(path: Path) -> None:
    """Save a model with two outputs of different batch sizes."""
    nodes = [helper.make_node("ReduceSum", ["x"], ["total"], keepdims=1), helper.make_node("Identity", ["x"], ["y"])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in ("x", "total", "y")]
    save_model(path, nodes, infos[:1], infos[1:])


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("echo")
    for name, dtype in TYPES.items():
        save_echo(folder / f"models/echo_{name}/1/model.onnx", {"y": ("x", dtype)})
    save_echo(folder / "models/echo_bytes/1/model.onnx", {"y_bytes": ("x", TensorProto.STRING)})
    mixed = {"i": TYPES["int32"], "s": TYPES["string"], "f": TYPES["float"], "d": TYPES["double"]}
    save_echo(folder / "models/mixed/1/model.onnx", {f"{name}_out": (name, dtype) for name, dtype in mixed.items()})
    save_sums(folder / "models/sums/1/model.onnx")
    names = [*(f"echo_{name}" for name in (*TYPES, "bytes")), "mixed", "sums"]
    (folder / "models.config").write_text(models_config(*names))
    server = start_server(folder, f"--rest_api_max_body_bytes={LIMIT}")
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


def test_the_table_has_at_least_eighty_cases_and_each_names_its_source() -> None:
    assert len(PREDICT) + len(REQUESTS) >= 80
    sources = [case.source for case in PREDICT] + [case.source for case in REQUESTS]
    assert all(re.match(r"(util|g3doc|model_servers)/\S+\.(cc|md)( |$)", source) for source in sources)


@pytest.mark.parametrize("case", PREDICT, ids=lambda case: case.source)
def test_predict(echo: Server, case: Predict) -> None:
    body = case.body.encode() if isinstance(case.body, str) else case.body
    model = case.model if case.model in {"mixed", "sums"} else f"echo_{case.model}"
    response = echo.predict(model, body)
    assert response.headers["content-type"] == "application/json"
    if isinstance(case.answer, str) and not case.answer.startswith("{"):
        assert response.status_code == 400, response.text
        assert case.answer in response.json()["error"]
    elif isinstance(case.answer, str):
        assert response.text == case.answer
    else:
        assert response.status_code == 200, response.text
        answer = json.loads(response.text.replace("_out", ""))
        assert answer == case.answer
        assert json.dumps(answer, sort_keys=True) == json.dumps(case.answer, sort_keys=True)  # 1 is not 1.0


@pytest.mark.parametrize("case", REQUESTS, ids=lambda case: f"{case.method} {case.path} {case.source}")
def test_paths_and_methods(echo: Server, case: Request) -> None:
    data = '{"instances": [1]}' if case.method == "POST" else None
    response = requests.request(case.method, echo.url + case.path, data=data, timeout=DEADLINE_S)
    assert response.status_code == case.status, response.text
    assert case.error in response.json()["error"]


@pytest.mark.parametrize("path", ["/v1/models/echo_int32", "/V1/MODELS/echo_int32", "/v1/models/echo_int32/versions/1"])
def test_status_gives_the_version_as_text_and_the_state(echo: Server, path: str) -> None:
    """model_servers/http_rest_api_handler_test.cc GetStatus. The path's case is free: kModelStatusApiRegex."""
    ok = {"error_code": "OK", "error_message": ""}
    expected = [{"version": "1", "state": "AVAILABLE", "status": ok}]
    assert echo.get(path).json() == {"model_version_status": expected}


def test_metadata_has_the_signatures(echo: Server) -> None:
    """model_servers/http_rest_api_util.cc ToJsonString(GetModelMetadataResponse)."""
    metadata = echo.get("/v1/models/mixed/versions/1/metadata").json()
    assert metadata["model_spec"] == {"name": "mixed", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    dtypes = {name: info["dtype"] for name, info in signature["inputs"].items()}
    assert dtypes == {"i": "DT_INT32", "s": "DT_STRING", "f": "DT_FLOAT", "d": "DT_DOUBLE"}


@pytest.mark.parametrize(
    ("encoding", "body", "status", "message"),
    [
        ("gzip", BODY, 200, ""),
        ("my_gzip", BODY, 200, ""),
        ("gzip", b'{"instances": [1, 2]}', 400, "not in gzip format"),
        ("gzip", BODY[:-9], 400, "cut short"),
        ("gzip", b"", 400, "cut short"),
        ("identity", BODY, 400, "JSON Parse error"),
        ("gzip", gzip.compress(b" " * 50_000_000, mtime=0), 413, f"larger than {LIMIT} bytes"),
    ],
    # The ids are the same in every process: compressed bytes contain the time.
    ids=["sound", "another name", "not compressed", "cut short", "empty", "not announced", "too large"],
)
def test_a_body_in_gzip_is_inflated_up_to_the_limit(
    echo: Server, encoding: str, body: bytes, status: int, message: str
) -> None:
    """util/net_http/server/internal/evhttp_request.cc NeedUncompressGzipContent, UncompressGzipBody."""
    response = requests.post(
        f"{echo.url}/v1/models/echo_int32:predict",
        data=body[:LIMIT] if status == 413 else body,
        headers={"Content-Encoding": encoding},
        timeout=DEADLINE_S,
    )
    assert response.status_code == status, response.text
    assert message in response.text
    if status == 200:
        assert response.json() == {"predictions": [1, 2]}
