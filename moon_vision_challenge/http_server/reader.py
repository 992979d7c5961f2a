"""Turns bytes into requests, within the limits. llhttp, Node's parser, parses them. This module checks the rest."""

from collections.abc import Callable

import httptools

from .limits import Limits
from .request import RefusedError, Request, malformed

MAX_PIPELINED = 100
# The size that the framing of a body's chunks may have, in addition to a quarter of the body. More is wasted work.
MAX_FRAMING_BYTES = 64 * 1024


class RequestReader:
    """Reads requests from what the client sends. `complete` holds the complete requests, oldest first.

    The parser calls the `on_...` methods.
    """

    def __init__(
        self, limits: Limits, count_body: Callable[[int], None], too_large: Callable[[], RefusedError]
    ) -> None:
        """`count_body` gets the change in body bytes. `too_large` builds the answer to a body above its limit."""
        self.complete: list[Request] = []
        self.is_message_begun = False
        self.is_head_known = False
        self.expects_continue = False
        self.body_bytes = 0
        """The bytes of all bodies so far, to measure how fast they arrive."""
        self._limits = limits
        self._count_body = count_body
        self._too_large = too_large
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._raw_bytes = 0  # of this request, since its first ones
        self._is_reparsing = False
        self._max_body_bytes = limits.max_body_bytes

    def feed(self, data: bytes) -> None:
        """Parse data. After a RefusedError, feed nothing more. Requests that were complete before are in `complete`."""
        self._raw_bytes += len(data)
        self._parse(data)
        framing_bytes = self._raw_bytes - self._request.body_size
        if self.is_head_known and framing_bytes > MAX_FRAMING_BYTES + self._request.body_size // 4:
            raise malformed("The body's chunks are too small.")
        if not self.is_head_known and self._raw_bytes > self._limits.max_head_bytes:
            raise self._head_too_large()

    @property
    def incomplete(self) -> Request:
        """What is known of the request that is arriving."""
        return self._request

    def discard(self) -> None:
        """Forget the incomplete request."""
        self._count_body(-self._request.memory_bytes)
        if self._request.spool:
            self._request.spool.close()
        self._request = Request()

    @property
    def is_spooled(self) -> bool:
        """Whether the body that is arriving may be larger than others, and is written to a file."""
        return self.is_head_known and self._max_body_bytes != self._limits.max_body_bytes

    def on_message_begin(self) -> None:
        if not self._is_reparsing:
            self.is_message_begun = True
            self._raw_bytes = 0

    def on_url(self, url: bytes) -> None:
        if not self._is_reparsing:
            self._request.target += url
            self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_reparsing:
            return
        self._count_head(len(name) + len(value) + 4)
        if self.is_head_known:
            return  # a trailer, which is ignored
        self._request.headers.append((name, value))
        if len(self._request.headers) > self._limits.max_headers:
            raise RefusedError(431, "headers_too_large", f"At most {self._limits.max_headers} headers are accepted.")

    def on_headers_complete(self) -> None:
        if self._is_reparsing:
            self._is_reparsing = False
            return
        self.is_head_known = True
        self._raw_bytes = 0
        request = self._request
        request.method, request.version = self._parser.get_method(), self._parser.get_http_version()
        request.is_keep_alive = self._parser.should_keep_alive()
        self._check_head(request)

    def on_body(self, body: bytes) -> None:
        size = len(body)
        self._request.body_parts.append(body)
        self._request.body_size += size
        self.body_bytes += size
        self._count_body(size)
        if self._request.body_size > self._max_body_bytes:
            raise self._body_too_large()

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            if self._request.method == b"CONNECT":
                raise RefusedError(501, "not_implemented", "This server is not a proxy.")
            if _framing(self._request):
                return  # the body has not arrived yet
        self.complete.append(self._request)
        self._request = Request()
        self._raw_bytes = 0
        self.is_message_begun = self.is_head_known = self.expects_continue = False
        if len(self.complete) > MAX_PIPELINED:
            raise RefusedError(429, "too_many_requests", "Too many requests were sent without reading the answers.")

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            raise (error.__context__ or error) from None
        except httptools.HttpParserInvalidMethodError:
            raise RefusedError(501, "not_implemented", "The request's method is not known.") from None
        except httptools.HttpParserError as error:
            raise malformed(f"The request is not valid HTTP/1.1: {error}.") from None

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Ignore an upgrade to another protocol (RFC 9110, 7.8), and treat the request like any other.

        Java's HTTP client requests h2c with every POST. The parser treats what follows as the other protocol, so a new
        parser gets the framing of the body and continues.
        """
        self._parser = httptools.HttpRequestParser(self)
        if framing := _framing(self._request):
            self._is_reparsing = True
            rest = b"POST / HTTP/1.1\r\n%b\r\n\r\n%b" % (framing, rest)
        self._parse(rest)

    def _check_head(self, request: Request) -> None:
        if request.version not in ("1.0", "1.1"):
            raise RefusedError(505, "http_version_not_supported", "This server speaks HTTP/1.1 and HTTP/1.0.")
        self._max_body_bytes = self._limits.max_body_bytes
        if request.method == b"POST":
            self._max_body_bytes = self._limits.spooled.get(request.path, self._max_body_bytes)
        hosts = 0
        for name, value in request.headers:
            match name.lower():
                case b"host":
                    hosts += 1
                case b"content-length" if int(value) > self._max_body_bytes:
                    raise self._body_too_large()
                case b"expect":
                    self.expects_continue = request.version == "1.1" and value.lower() == b"100-continue"
                case b"transfer-encoding" if value.strip().lower() != b"chunked":
                    raise RefusedError(501, "not_implemented", "The only supported Transfer-Encoding is chunked.")
                case b"transfer-encoding" if request.version == "1.0":
                    raise malformed("HTTP/1.0 does not support Transfer-Encoding.")
        if hosts > 1 or (not hosts and request.version == "1.1"):
            raise malformed("Send exactly one Host header.")

    def _body_too_large(self) -> RefusedError:
        if not self.is_spooled:
            return self._too_large()
        detail = f"The request's body is too large. At most {self._max_body_bytes:,} bytes are accepted."
        return RefusedError(413, "request_too_large", detail)

    def _count_head(self, size: int) -> None:
        self._request.head_size += size
        if self._request.head_size > self._limits.max_head_bytes:
            raise self._head_too_large()

    def _head_too_large(self) -> RefusedError:
        limit = self._limits.max_head_bytes
        detail = f"The request line and the headers are too large. At most {limit:,} bytes are accepted."
        return RefusedError(431, "headers_too_large", detail)


def _framing(request: Request) -> bytes:
    """Return the header that determines the length of the body, if there is one."""
    for name, value in request.headers:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            return name + b": " + value
    return b""
