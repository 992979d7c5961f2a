"""Converts a parsed request to the environ of PEP 3333."""

import functools
import io
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

from .spool import Spool

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

BODY_FILE = "moon_vision.body_file"
"""The key of the path to the file that holds the body, if there is one. The application may move the file."""


class RefusedError(Exception):
    """The server answers this request itself, and then closes the connection."""

    def __init__(self, status: int, code: str, detail: str, *, retry_after_s: int | None = None) -> None:
        self.status, self.code, self.detail, self.retry_after_s = status, code, detail, retry_after_s
        self.more_headers = b""
        """Whole lines, from `Service.refusal_headers`."""
        super().__init__(detail)


def too_slow(detail: str) -> RefusedError:
    return RefusedError(408, "request_timeout", detail + " Send it faster, or in smaller parts.")


def overloaded(detail: str, *, retry_after_s: int = 5) -> RefusedError:
    return RefusedError(503, "overloaded", detail + " Try again later.", retry_after_s=retry_after_s)


def disk_full() -> RefusedError:
    return RefusedError(503, "storage_full", "The disk has no room for this upload. Try again later.", retry_after_s=60)


def malformed(detail: str) -> RefusedError:
    return RefusedError(400, "malformed_request", detail)


class Request:
    """A request, as far as the parser has read it."""

    __slots__ = (
        *("body_parts", "body_size", "head_size", "headers", "is_keep_alive", "method", "spool", "spooled_bytes"),
        *("target", "version"),
    )

    def __init__(self) -> None:
        self.method = self.target = b""
        self.version = "1.1"
        self.headers: list[tuple[bytes, bytes]] = []
        self.head_size = 0
        self.body_parts: list[bytes] = []
        self.body_size = 0
        self.spool: Spool | None = None
        self.spooled_bytes = 0
        self.is_keep_alive = False

    @property
    def memory_bytes(self) -> int:
        """The part of the body that is in memory."""
        return self.body_size - self.spooled_bytes

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    def environ(self, base: "WSGIEnvironment") -> "WSGIEnvironment":
        """Return the environ. The body moves into it, so this object no longer holds it.

        Raises RefusedError.
        """
        environ = base.copy()
        path, query, host = _split(self.target)
        environ["REQUEST_METHOD"] = self.method.decode("ascii")
        environ["PATH_INFO"] = (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1")
        environ["QUERY_STRING"] = query.decode("latin-1")
        environ["SERVER_PROTOCOL"] = "HTTP/" + self.version
        for name, raw in self.headers:
            if (key := _key(name)) is None:
                continue
            value = raw.decode("latin-1")
            if key in environ:
                value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
            environ[key] = value
        if host is not None:
            environ["HTTP_HOST"] = host.decode("latin-1")
        parts, self.body_parts = self.body_parts, []
        if "HTTP_TRANSFER_ENCODING" in environ:  # the chunks have been joined
            del environ["HTTP_TRANSFER_ENCODING"]
            environ["CONTENT_LENGTH"] = str(self.body_size)
        if self.spool is None:
            environ["wsgi.input"] = io.BytesIO(b"".join(parts))
        else:
            try:
                self.spool.write(parts)
            except OSError as error:
                raise disk_full() from error
            environ["wsgi.input"], environ[BODY_FILE] = self.spool.rewound(), self.spool.path
        return environ


def base_environ(client: tuple[str, int], server: tuple[str, int], *, is_multiprocess: bool) -> "WSGIEnvironment":
    """Return what the requests of a connection share."""
    shared: dict[str, Any] = {
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": is_multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    return shared


@functools.lru_cache(maxsize=256)
def _key(name: bytes) -> str | None:
    """Return the environ key. None for a name with an underscore: it would equal one with a hyphen that proxies set."""
    if b"_" in name:
        return None
    key = name.decode("latin-1").upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key


def _split(target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Return the path, the query and, for an absolute URL (RFC 9112, 3.2.2), the host. Raises RefusedError."""
    host = None
    if not target.startswith(b"/") and target != b"*":
        try:
            url = urlsplit(target)
        except ValueError as error:
            raise malformed("The request's target is not a URL.") from error
        if url.scheme.lower() not in (b"http", b"https") or not url.netloc:
            raise malformed("The request's target is neither a path nor an HTTP URL.")
        host, target = url.netloc, (url.path or b"/") + (b"?" + url.query if url.query else b"")
    path, _, query = target.partition(b"#")[0].partition(b"?")
    return path, query, host
