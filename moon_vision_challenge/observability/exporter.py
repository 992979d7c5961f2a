"""The page that Prometheus scrapes: what all processes have counted, and the current state of the service."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Metric, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from moon_vision_challenge import __version__
from moon_vision_challenge.observability import sample_files

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/metrics"


class FunctionCollector(Collector):
    """Calls a function at each scrape."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        return []  # otherwise the registry would call collect() at the start


def make_application(folder: Path, collectors: Sequence[Callable[[], Iterable[Metric]]]) -> "WSGIApplication":
    """Return a WSGI application that answers GET /metrics.

    Args:
        folder: METRICS_DIR.
        collectors: each returns metrics that no process counts, such as the length of the queue.
    """
    registry = CollectorRegistry()
    for collect in (lambda: sample_files.collect(folder), *collectors):
        registry.register(FunctionCollector(collect))
    metrics_page = make_wsgi_app(registry)

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            page: Iterable[bytes] = metrics_page(environ, start_response)
            return page
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"The metrics are at /metrics.\n"]

    return application


def describe_build() -> Iterable[Metric]:
    build = GaugeMetricFamily("moon_vision_build_info", "The release that runs. Always 1.", labels=["version"])
    build.add_metric([__version__], 1)
    return [build]
