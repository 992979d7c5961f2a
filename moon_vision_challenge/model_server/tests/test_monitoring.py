"""The metrics that dashboards for TensorFlow Serving read."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from moon_vision_challenge.model_server.monitoring import DEFAULT_PATH, read_path
from moon_vision_challenge.model_server.tests.conftest import Server, models_config, save_half, start_server
from moon_vision_challenge.text_format import ConfigError

COUNT, LATENCY = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency"


def samples(server: Server, path: str = DEFAULT_PATH) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return a mapping of name and labels → value. prometheus_client's parser would add `_total` to the counter."""
    page = server.get(path)
    assert page.status_code == 200
    list(text_string_to_metric_families(page.text))  # raises if the page is invalid
    found = re.findall(r"^([\w:]+){(.*)} (\S+)$", page.text, re.MULTILINE)
    return {(name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels))): float(value) for name, labels, value in found}


def count(server: Server, model: str, status: str) -> float:
    return samples(server).get((COUNT, frozenset({("model_name", model), ("status", status)})), 0)


def test_predictions_are_counted_by_model_and_status(server: Server) -> None:
    before = {status: count(server, "half", status) for status in ("OK", "INVALID_ARGUMENT", "NOT_FOUND")}
    for _ in range(3):
        assert server.predict("half", {"instances": [[1, 2]]}).ok
    server.predict("half", b"{")
    server.predict("half/versions/77", {"instances": [[1, 2]]})
    after = {status: count(server, "half", status) for status in before}
    assert {status: after[status] - before[status] for status in before} == {
        "OK": 3,
        "INVALID_ARGUMENT": 1,
        "NOT_FOUND": 1,
    }


def test_the_latency_is_a_histogram_in_microseconds(server: Server) -> None:
    server.predict("sum", {"inputs": {"a": [1], "b": [2]}})
    labels = frozenset({("model_name", "sum"), ("API", "predict"), ("entrypoint", "REST")})
    found = samples(server)
    number = found[f"{LATENCY}_count", labels]
    assert number >= 1
    assert found[f"{LATENCY}_bucket", labels | {("le", "+Inf")}] == number
    assert 100 < found[f"{LATENCY}_sum", labels] / number < 60e6


def test_a_client_cannot_add_names(server: Server) -> None:
    server.predict("invented", {"instances": []})
    assert "invented" not in server.get(DEFAULT_PATH).text


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", DEFAULT_PATH),
        ('prometheus_config { enable: true path: "/metrics" }', "/metrics"),
        ("prometheus_config { enable: false }", None),
        ("", None),
    ],
)
def test_the_configuration_file_of_tensorflow_serving_is_read(tmp_path: Path, text: str, path: str | None) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert read_path(file) == path


@pytest.mark.parametrize("text", ["graphite_config {}", "prometheus_config { port: 1 }", "prometheus_config: 1", "{"])
def test_a_mistake_in_it_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    with pytest.raises(ConfigError):
        read_path(file)


def test_the_server_takes_the_flag(tmp_path: Path) -> None:
    save_half(tmp_path / "models" / "half" / "1" / "model.onnx")
    (tmp_path / "models.config").write_text(models_config("half"))
    (tmp_path / "monitoring.config").write_text('prometheus_config { enable: true path: "/metrics" }')
    server = start_server(tmp_path, f"--monitoring_config_file={tmp_path / 'monitoring.config'}")
    assert samples(server, "/metrics") == {}
    assert server.get(DEFAULT_PATH).status_code == 404
    assert server.stop() == 0
