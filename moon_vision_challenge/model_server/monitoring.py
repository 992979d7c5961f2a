"""Provides metrics under TensorFlow Serving's path and names, so that dashboards made for it work.

The names and labels are those of tensorflow_serving/servables/tensorflow/util.cc. As there, latencies are in
microseconds.
"""

import re
import threading
from bisect import bisect_left
from collections.abc import Callable
from http import HTTPStatus
from itertools import accumulate
from pathlib import Path

from moon_vision_challenge.text_format import ConfigError, parse_text_format

DEFAULT_PATH = "/monitoring/prometheus/metrics"
_MAX_BYTES = 10_000  # of the configuration file

# monitoring::Buckets::Exponential(10, 1.8, 33): from 10 microseconds to 25 minutes
_BOUNDS_US = tuple(10 * 1.8**power for power in range(33))
_NAME = re.compile(r"(?:/v1/models/([^/:]+)[^:]*:predict|/v2/models/([^/]+)(?:/[^/]+/[^/]+)?/infer)", re.IGNORECASE)
_STATUSES = {  # absl::StatusCode
    HTTPStatus.OK: "OK",
    HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.REQUEST_TIMEOUT: "DEADLINE_EXCEEDED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "INVALID_ARGUMENT",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
}


class RequestMetrics:
    """Counts the predictions of served models only, so that a client cannot add names.

    Args:
        is_served: whether a model of this name is configured.
    """

    def __init__(self, is_served: Callable[[str], bool]) -> None:
        self._is_served = is_served
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str], int] = {}
        self._latencies: dict[str, _Histogram] = {}

    def observe(self, path: str, status: HTTPStatus, seconds: float) -> None:
        """Count the answer to a request. Ignores requests that are not predictions."""
        match = _NAME.fullmatch(path)
        name = match and (match[1] or match[2])
        if not name or not self._is_served(name):
            return
        key = name, _STATUSES.get(status, "INTERNAL")
        with self._lock:
            self._requests[key] = self._requests.get(key, 0) + 1
            if status == HTTPStatus.OK:
                self._latencies.setdefault(name, _Histogram()).observe(seconds * 1e6)

    def page(self) -> str:
        """Return the metrics for Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/"""
        with self._lock:
            count, latency = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency"
            lines = [f"# TYPE {count} counter"]
            for (name, status), number in sorted(self._requests.items()):
                lines.append(f'{count}{{model_name="{_escaped(name)}",status="{status}"}} {number}')
            lines.append(f"# TYPE {latency} histogram")
            for name, histogram in sorted(self._latencies.items()):
                labels = f'model_name="{_escaped(name)}",API="predict",entrypoint="REST"'
                lines += histogram.lines(latency, labels)
        return "\n".join(lines) + "\n"


class _Histogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_US) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(_BOUNDS_US, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: str) -> list[str]:
        bounds = [*(f"{bound:g}" for bound in _BOUNDS_US), "+Inf"]
        cumulated = list(accumulate(self._counts))
        buckets = [
            f'{name}_bucket{{{labels},le="{bound}"}} {count}' for bound, count in zip(bounds, cumulated, strict=True)
        ]
        return [*buckets, f"{name}_sum{{{labels}}} {self._sum}", f"{name}_count{{{labels}}} {cumulated[-1]}"]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def read_path(file: Path | None) -> str | None:
    """Return the path that a monitoring.config names, or None if it turns monitoring off. Raises ConfigError.

    Without a file, the metrics are at the default path, whereas TensorFlow Serving has none.
    """
    if file is None:
        return DEFAULT_PATH
    try:
        text = file.read_bytes()[:_MAX_BYTES].decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}") from error
    path, is_enabled = DEFAULT_PATH, False
    for outer in parse_text_format(text):
        if outer.name != "prometheus_config" or not isinstance(outer.value, list):
            raise ConfigError(f"line {outer.line}: expected prometheus_config {{ enable: true }}")
        for item in outer.value:
            if isinstance(item.value, list) or item.name not in {"enable", "path"}:
                raise ConfigError(f"line {item.line}: prometheus_config knows enable and path")
            if item.name == "path":
                path = item.value.text
            else:
                is_enabled = item.value.text == "true"
    return path if is_enabled else None
