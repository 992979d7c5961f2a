"""The real server as a real process on a free port, serving small ONNX models made here."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
import requests
from onnx import TensorProto, helper

from native.environment import free_port

DEADLINE_S = 600


def save_model(
    path: Path, nodes: list[onnx.NodeProto], inputs: list[Any], outputs: list[Any], **properties: str
) -> None:
    graph = helper.make_graph(nodes, "test", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, properties)
    path.parent.mkdir(parents=True)
    onnx.save(model, path)


def tensor(name: str, dtype: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def save_half(path: Path, factor: float = 0.5, **properties: str) -> None:
    """Save y = x / 2 for float32 [N, 2], or with another factor to tell versions apart."""
    nodes = [
        helper.make_node("Constant", [], ["factor"], value_float=float(factor)),
        helper.make_node("Mul", ["x", "factor"], ["y"]),
    ]
    save_model(
        path, nodes, [tensor("x", TensorProto.FLOAT, "N", 2)], [tensor("y", TensorProto.FLOAT, "N", 2)], **properties
    )


def save_sum(path: Path) -> None:
    """Save a model with two inputs and two outputs of int64 [N]: total = a + b, and a unchanged."""
    nodes = [helper.make_node("Add", ["a", "b"], ["total"]), helper.make_node("Identity", ["a"], ["same"])]
    ints = [tensor(name, TensorProto.INT64, "N") for name in ("a", "b", "total", "same")]
    save_model(path, nodes, ints[:2], ints[2:])


def save_text(path: Path) -> None:
    text = [tensor(name, TensorProto.STRING, "N") for name in ("text", "same")]
    save_model(path, [helper.make_node("Identity", ["text"], ["same"])], text[:1], text[1:])


def save_pixels(path: Path) -> None:
    """Save a model with the signature raw: uint8 [N, 2, 2, 3] as bytes. Its output is the same numbers as float32."""
    raw = {"raw": {"inputs": {"image": {"tensor": "pixels", "encoding": "raw"}}, "outputs": {"values": "values"}}}
    node = helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT)
    shape = ("N", 2, 2, 3)
    inputs, outputs = [tensor("pixels", TensorProto.UINT8, *shape)], [tensor("values", TensorProto.FLOAT, *shape)]
    save_model(path, [node], inputs, outputs, serving_signatures=json.dumps(raw))


def save_scalar(path: Path) -> None:
    """Save a model with an output without a batch dimension, and a division that can give infinity."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        helper.make_node("Reciprocal", ["total"], ["inverse"]),
    ]
    save_model(path, nodes, [tensor("x", TensorProto.FLOAT, "N")], [tensor("inverse", TensorProto.FLOAT)])


def save_slow(path: Path) -> None:
    """Seconds of work, to be asked for by x: a loop of that many steps over a large product."""
    size = 200
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["m", "m"], ["square"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Clip", ["square"], ["m_next"]),
        ],
        "body",
        [tensor("step", TensorProto.INT64), tensor("go", TensorProto.BOOL), tensor("m", TensorProto.FLOAT, size, size)],
        [tensor("go_on", TensorProto.BOOL), tensor("m_next", TensorProto.FLOAT, size, size)],
    )
    nodes = [
        helper.make_node(
            "Constant", [], ["sides"], value=helper.make_tensor("sides", TensorProto.INT64, [2], [size, size])
        ),
        helper.make_node("ConstantOfShape", ["sides"], ["zeros"]),
        helper.make_node("Constant", [], ["axis"], value=helper.make_tensor("axis", TensorProto.INT64, [1], [0])),
        helper.make_node("ReduceMax", ["steps"], ["most"], keepdims=0),
        helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("yes", TensorProto.BOOL, [], [True])),
        helper.make_node("Loop", ["most", "yes", "zeros"], ["last"], body=body),
        helper.make_node("ReduceSum", ["last"], ["sum"], keepdims=0),
        helper.make_node("Unsqueeze", ["sum", "axis"], ["y"]),
    ]
    save_model(path, nodes, [tensor("steps", TensorProto.INT64, "N")], [tensor("y", TensorProto.FLOAT, 1)])


def models_config(*names: str, extra: str = "") -> str:
    configs = "\n".join(f"config {{ name: '{name}' base_path: '/models/{name}/' {extra} }}" for name in names)
    return f"model_config_list {{\n{configs}\n}}\n"


MODULE = "moon_vision_challenge.model_server"
SPAWNED = f"""
import multiprocessing, runpy
multiprocessing.set_start_method("spawn")
runpy.run_module("{MODULE}", run_name="__main__", alter_sys=True)
"""
"""Spawns processes, as on macOS. With Python 3.14, forking is not the default on Linux either."""


def command(
    folder: Path, port: int, *flags: str, constants: Mapping[str, float] | None = None, start: str = ""
) -> list[str]:
    """Return the command of a server. The folder holds models.config and models/. `constants` replace the server's."""
    if constants:
        start = (
            f"import sys; from {MODULE} import __main__ as it, worker; vars(it).update({constants}); "
            f"vars(worker).update({constants}); sys.exit(it.main())"
        )
    return [
        sys.executable,
        *(["-c", start] if start else ["-m", MODULE]),
        f"--model_config_file={folder / 'models.config'}",
        "--rest_api_port",
        str(port),
        f"--model_root={folder / 'models'}",
        *flags,
    ]


@dataclass
class Server:
    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=DEADLINE_S)

    def predict(self, model: str, body: Any) -> requests.Response:
        data = body if isinstance(body, bytes) else json.dumps(body)
        return requests.post(f"{self.url}/v1/models/{model}:predict", data=data, timeout=DEADLINE_S)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


def start_server(
    folder: Path,
    *flags: str,
    deadline_s: float = DEADLINE_S,
    constants: Mapping[str, float] | None = None,
    start: str = "",
) -> Server:
    port = free_port()
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command(folder, port, *flags, constants=constants, start=start),
            stderr=file,
            stdout=file,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return Server(process, f"http://127.0.0.1:{port}", log)
        time.sleep(0.02)
    process.terminate()  # unlike kill, this also ends its worker
    process.wait(DEADLINE_S)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    models = folder / "models"
    for version in ("1", "2", "10"):
        save_half(models / "half" / version / "model.onnx")
    (models / "half" / "notes").mkdir()
    savers: dict[str, Callable[[Path], None]] = {
        "sum": save_sum,
        "text": save_text,
        "pixels": save_pixels,
        "scalar": save_scalar,
        "slow": save_slow,
    }
    for name, save in savers.items():
        save(models / name / "1" / "model.onnx")
    save_half(models / "badsignature" / "1" / "model.onnx", serving_signatures="{")
    (models / "broken" / "1").mkdir(parents=True)
    (models / "broken" / "1" / "model.onnx").write_bytes(b"not a model")
    (models / "saved" / "1").mkdir(parents=True)
    (models / "saved" / "1" / "saved_model.pb").touch()
    (models / "empty" / "1").mkdir(parents=True)
    (models / "unversioned").mkdir(parents=True)
    policy = "model_version_policy { all {} } version_labels { key: 'stable' value: 2 }"
    names = (*savers, "badsignature", "broken", "saved", "empty", "missing", "unversioned", "half")
    (folder / "models.config").write_text(models_config(*names, extra=policy))
    running = start_server(folder, "--rest_api_max_body_bytes=100000", "--inference_threads", "2")
    yield running
    assert running.stop() == 0, running.log.read_text()
    assert "Traceback" not in running.log.read_text()
