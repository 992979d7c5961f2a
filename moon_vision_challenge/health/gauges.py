"""The results of /status, for Prometheus."""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from moon_vision_challenge.health.checks import STATUS
from moon_vision_challenge.health.prober import Prober

_prober = Prober(STATUS)


def collect() -> Iterable[Metric]:
    """Return one gauge per check, and the free bytes of the media folder (S3 reports none)."""
    report = _prober.report()
    checks = GaugeMetricFamily("moon_vision_check_ok", "Result of a check of /status: 1 or 0.", labels=["check"])
    for name, problem in report.problems.items():
        checks.add_metric([name], 0 if problem else 1)
    free = GaugeMetricFamily("moon_vision_media_free_bytes", "Free space where the images are stored.")
    free_bytes = report.facts.get("media_free_bytes")
    if isinstance(free_bytes, int):
        free.add_metric([], free_bytes)
    return [checks, free]
