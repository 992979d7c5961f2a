"""`python -m config.web_server`: serves the web application within the limits in the settings."""

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from moon_vision_challenge import waiting_threads
from moon_vision_challenge.http_server.limits import Limits
from moon_vision_challenge.http_server.request import Request
from moon_vision_challenge.http_server.service import Service
from moon_vision_challenge.http_server.supervisor import serve

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LONG_WAIT_S = 0.2
"""If a thread waits longer than this for a neighbour, a spare thread may run beside it."""
SPARE_THREADS = 32
"""Four times the number of requests that may wait for one model server that has stopped answering."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Return the exit code."""
    options = parse(argv)
    return serve(
        lambda: load(threads=options.threads),
        options.host,
        options.port,
        processes=options.workers,
        reload_paths=options.reload_paths if options.reload else (),
    )


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m config.web_server", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on; :: for all, also of IPv4 (default: %(default)s)")
    add("--port", type=int, default=8000, help="(default: %(default)s)")
    add("--workers", type=int, default=2, help="processes (default: %(default)s)")
    add("--threads", type=int, default=4, help="concurrent requests in each process (default: %(default)s)")
    add("--reload", action="store_true", help="reload the code when it changes")
    add("--reload-paths", type=Path, action="append", default=[], metavar="FOLDER", help="folder to watch")
    return parser.parse_args(argv)


def load(*, threads: int) -> Service:
    """Import the application, and with it the settings."""
    # With autoreload, only the serving processes import the code.
    from django.conf import settings
    from django.db import connections
    from django.http import HttpRequest
    from django.urls import resolve

    from config.wsgi import application
    from moon_vision_challenge.classification.media_store import media_store
    from moon_vision_challenge.health.views import livez
    from moon_vision_challenge.jobs.uploads import spool_folder
    from moon_vision_challenge.observability import tracing

    logging.captureWarnings(capture=True)
    # Import all views before the processes fork. Otherwise, the first request to each costs half a second of CPU time.
    resolve("/livez")
    media_store.prepare()
    probe = HttpRequest()
    probe.method = "GET"
    limits = Limits(
        max_body_bytes=settings.MAX_REQUEST_BODY_BYTES,
        max_body_memory_bytes=settings.WEB_MAX_BODY_MEMORY_BYTES,
        spooled={settings.JOBS_PATH.encode(): settings.JOB_MAX_BYTES},
        spool_folder=spool_folder(),
        max_spools=settings.JOB_MAX_UPLOADS,
        spooled_timeout_s=settings.JOB_UPLOAD_TIMEOUT_S,
        max_connections=settings.WEB_MAX_CONNECTIONS,
        head_timeout_s=settings.WEB_HEAD_TIMEOUT_S,
        idle_timeout_s=settings.WEB_IDLE_TIMEOUT_S,
        body_timeout_s=settings.WEB_BODY_TIMEOUT_S,
        min_body_bytes_per_s=settings.WEB_MIN_BODY_BYTES_PER_S,
        rate_window_s=settings.WEB_RATE_WINDOW_S,
        write_timeout_s=settings.WEB_WRITE_TIMEOUT_S,
        max_wait_s=settings.WEB_MAX_WAIT_S,
        stop_timeout_s=settings.WEB_STOP_TIMEOUT_S,
    )
    return Service(
        application=application,
        limits=limits,
        threads=threads,
        spare_threads=SPARE_THREADS,
        waiting_threads=partial(waiting_threads.count, LONG_WAIT_S),
        leave_thread=connections.close_all,
        # Alive means that the event loop runs. Busy threads are not a reason to kill the process.
        immediate={b"/livez": json_answer(livez(probe).content)},
        reserved=frozenset({b"/readyz", b"/status"}),
        refusal_headers=allow_origins(settings.CORS_ALLOWED_ORIGINS, getattr(settings, "CORS_EXPOSE_HEADERS", ())),
        finish=tracing.flush,
        too_large=f"The image is too large. At most {settings.INFERENCE_MAX_IMAGE_BYTES:,} bytes are accepted.",
    )


def allow_origins(origins: Sequence[str], exposed: Sequence[str]) -> Callable[[Request], bytes]:
    """Return a function that makes the CORS headers of the server's own responses.

    django-cors-headers adds them only to the responses of the application. Without them, a page cannot read a response.
    """
    allowed = {origin.encode() for origin in origins}
    more = f"Access-Control-Expose-Headers: {', '.join(exposed)}\r\nVary: Origin\r\n".encode()

    def headers(request: Request) -> bytes:
        origin = next((value for name, value in request.headers if name.lower() == b"origin"), b"")
        if origin not in allowed or not request.target.startswith(b"/api/"):
            return b""
        return b"Access-Control-Allow-Origin: " + origin + b"\r\n" + more

    return headers


def json_answer(body: bytes) -> "WSGIApplication":
    """Return an application that always sends the same response."""
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]

    def application(_: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", headers)
        return [body]

    return application


if __name__ == "__main__":
    sys.exit(main())
