"""`python -m config.metrics_server`: answers Prometheus at /metrics. Keep its port off the public network.

With --counts-of, it shows what the processes of one pod have counted, and nothing else. It then reads no settings,
asks neither PostgreSQL nor Redis, and needs 30 MB instead of 90.
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moon_vision_challenge.http_server.limits import Limits
from moon_vision_challenge.http_server.service import Service
from moon_vision_challenge.http_server.supervisor import serve
from moon_vision_challenge.observability.exporter import describe_build, make_application

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MAX_BODY_BYTES = 1024
MAX_CONNECTIONS = 50


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m config.metrics_server", description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9000, help="(default: %(default)s)")
    parser.add_argument("--counts-of", type=Path, metavar="FOLDER", help="show only the counts in this METRICS_DIR")
    options = parser.parse_args(argv)
    load = functools.partial(load_counts, options.counts_of) if options.counts_of else load_everything
    return serve(load, options.host, options.port, processes=1)


def load_counts(folder: Path) -> Service:
    return _service(make_application(folder, []))


def load_everything() -> Service:
    import django  # noqa: PLC0415 - in the serving process, so that a failure is logged and retried
    from django.conf import settings  # noqa: PLC0415

    django.setup()
    from moon_vision_challenge.classification.queue.gauges import QueueGauges  # noqa: PLC0415
    from moon_vision_challenge.health import gauges  # noqa: PLC0415

    return _service(make_application(Path(settings.METRICS_DIR), [describe_build, QueueGauges(), gauges.collect]))


def _service(application: "WSGIApplication") -> Service:
    return Service(
        application=application,
        limits=Limits(max_body_bytes=MAX_BODY_BYTES, max_connections=MAX_CONNECTIONS),
        threads=2,
    )


if __name__ == "__main__":
    sys.exit(main())
