from pathlib import Path
from typing import Any

from config.metrics_server import load_counts


def test_the_counts_of_a_pod_need_no_settings_and_hide_what_the_exporter_shows(tmp_path: Path) -> None:
    """A pod's page must not say that the exporter of the queue runs."""
    application = load_counts(tmp_path).application
    environ: dict[str, Any] = {"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET", "QUERY_STRING": ""}
    page = b"".join(application(environ, lambda *_: lambda _: None))
    assert b"moon_vision_build_info" not in page
    assert b"moon_vision_queue" not in page
