"""`python -m config.metrics_server`: answers Prometheus at /metrics. Keep its port off the public network."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from moon_vision_challenge.http_server.limits import Limits
from moon_vision_challenge.http_server.service import Service
from moon_vision_challenge.http_server.supervisor import serve

MAX_BODY_BYTES = 1024
MAX_CONNECTIONS = 50


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m config.metrics_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9000, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    return serve(load, options.host, options.port, processes=1)


def load() -> Service:
    import django  # noqa: PLC0415 - in the process that serves: a failure is then logged, and tried again
    from django.conf import settings  # noqa: PLC0415

    django.setup()
    from moon_vision_challenge.classification.queue.gauges import QueueGauges  # noqa: PLC0415
    from moon_vision_challenge.health import gauges  # noqa: PLC0415
    from moon_vision_challenge.observability.exporter import make_application  # noqa: PLC0415

    return Service(
        application=make_application(Path(settings.METRICS_DIR), [QueueGauges(), gauges.collect]),
        limits=Limits(max_body_bytes=MAX_BODY_BYTES, max_connections=MAX_CONNECTIONS),
        threads=2,
    )


if __name__ == "__main__":
    sys.exit(main())
