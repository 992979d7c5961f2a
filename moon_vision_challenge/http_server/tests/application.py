"""A WSGI application for the tests, and its server: `python -m moon_vision_challenge.http_server.tests.application`.

Arguments: the number of processes, limits as JSON, constants of `worker` as JSON, the host, and the number of spare
threads. It prints its port.
"""

import hashlib
import io
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from moon_vision_challenge.http_server import worker
from moon_vision_challenge.http_server.limits import Limits
from moon_vision_challenge.http_server.service import Service
from moon_vision_challenge.http_server.supervisor import Supervisor, listen

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

BIG = 20_000_000
_held: list[Path] = []
"""The file that each waiting request waits for."""


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    match environ["PATH_INFO"]:
        case "/sleep":
            time.sleep(float(query["s"]))
        case "/hold":
            _hold(Path(query["until"]))
        case "/fail":
            raise ValueError("a secret")
        case "/status":
            start_response(f"{query['code']} Whatever", [("Content-Length", "0")])
            return []
        case "/stream":
            start_response("200 OK", [("X-Twice", "1"), ("X-Twice", "2"), ("X-Latin", "\xe9")])
            return _stream(int(query["n"]))
        case "/file":
            start_response("200 OK", [("Content-Length", str(BIG))])
            wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(bytes(BIG)), 4096)
            return wrapped
        case "/short":
            start_response("200 OK", [("Content-Length", "10")])
            return [b"short"]
        case "/broken":
            start_response("200 OK", [])
            return _break_off()
    body = json.dumps(_told(environ)).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _told(environ: "WSGIEnvironment") -> dict[str, Any]:
    body = environ["wsgi.input"].read()
    told: dict[str, Any] = {name: value for name, value in environ.items() if isinstance(value, str)}
    return told | {"body_bytes": len(body), "body_md5": hashlib.md5(body).hexdigest(), "pid": os.getpid()}


def _hold(until: Path) -> None:
    """Signal that the request has begun, and end it when the file `until` exists."""
    _held.append(until)
    until.with_suffix(".begun").touch()
    while not until.exists():
        time.sleep(0.01)
    _held.remove(until)


def _stream(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield b"%d\n" % number


def _break_off() -> Iterator[bytes]:
    yield b"first"
    raise ValueError("in the middle")


def answer_livez(_: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def load() -> Service:
    return Service(
        application=application,
        limits=Limits(**json.loads(sys.argv[2])),
        threads=2,
        spare_threads=int(sys.argv[5]),
        waiting_threads=lambda: len(_held),
        immediate={b"/livez": answer_livez},
        reserved=frozenset({b"/reserved"}),
    )


if __name__ == "__main__":
    listener = listen(sys.argv[4], 0)
    print(listener.getsockname()[1], flush=True)  # noqa: T201 - the test reads it
    vars(worker).update(json.loads(sys.argv[3]))
    sys.exit(Supervisor(load, listener, processes=int(sys.argv[1])).run())
