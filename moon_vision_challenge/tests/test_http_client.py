import gzip
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pycurl
import pytest
import trustme

from moon_vision_challenge import http_client
from moon_vision_challenge.classification.tests.waiting import LIMIT_S
from moon_vision_challenge.http_client import (
    DeadlineExceededError,
    Pool,
    RefusedURLError,
    RequestFailedError,
    ResponseTooLargeError,
    check_url,
)
from moon_vision_challenge.tests.dns_server import Resolve
from moon_vision_challenge.tests.peer import OK, Peer

StartPeer = Callable[..., Peer]

request = partial(http_client.guarded_request, headers={}, deadline_s=5, max_body_bytes=100)
request_anywhere = partial(request, allow_private=True)


@pytest.fixture
def start_peer() -> Iterator[StartPeer]:
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(Peer(*args, **kwargs))


@pytest.fixture
def _second_loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the address is exchanged: a test cannot listen on a public one."""
    monkeypatch.setattr(http_client, "is_public", lambda address: ip_address(address) == ip_address("127.0.0.2"))


# How libcurl, getaddrinfo or another reader of URLs may understand 127.0.0.1 or ::1.
LOOPBACK = [
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f.1:{port}/",
    "http://0x7f000001:{port}/",
    "http://0X7F.0x0.0x0.0x1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://2130706433.:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://127%2E0%2e0.1:{port}/",
    "http://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460:{port}/",  # circled digits
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11:{port}/",  # fullwidth digits
    "http://\uff10\uff58\uff17\uff46.1:{port}/",  # fullwidth 0x7f
    "http://127\u30020\u30020\u30021:{port}/",  # ideographic full stops
    "http:/127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "http://127.0.0.1:0{port}/",
    "http://127.0.0.1:{port}#@example.com/",
    "http://127.0.0.1:{port}?@example.com/",
]
# The same address by a name. `localhost` libcurl knows itself.
LOOPBACK_NAMES = ["http://localhost:{port}/", "http://LOCALHOST.:{port}/", "http://%6c%6fcalhost:{port}/"]
# What libcurl does not go to at all, however public the address is.
NEVER = [
    "",
    "nonsense",
    "127.0.0.1:{port}",
    "//127.0.0.1:{port}/",
    "http:127.0.0.1:{port}/",
    "http:////127.0.0.1:{port}/",
    "http://",
    "http:///",
    "http://[::1",
    "http://[::1%25lo",
    "http://[127.0.0.1]:{port}/",
    "http://user@127.0.0.1:{port}/",
    "http://user:word@127.0.0.1:{port}/",
    "http://:word@127.0.0.1:{port}/",
    "http://@127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/",
    "http://example.com\\@127.0.0.1:{port}/",
    "http://example.com%40127.0.0.1:{port}/",
    "http://127.0.0.1:{port}%2f@example.com/",
    "http://%00127.0.0.1:{port}/",
    "http://127.0.0.1\x00.example.com:{port}/",
    "http://127.0.0.1 :{port}/",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1\r\n:{port}/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:00/",
    "http://127.0.0.1:-1/",
    "http://127.0.0.1:65536/",
    "http://127.0.0.1:{port}:{port}/",
    "http://127.0.0.1:http/",
    "http://xn--\u2460.example:{port}/",
    "http://\ud800.example:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET",
    "dict://127.0.0.1:{port}/info",
    "ws://127.0.0.1:{port}/",
    "telnet://127.0.0.1:{port}/",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "unix:///run/socket",
    "http+unix://%2Frun%2Fsocket/",
    "data:,x",
]


@pytest.fixture
def loopback(start_peer: StartPeer) -> Peer:
    return start_peer(addresses=("127.0.0.1", "::1"))


@pytest.mark.parametrize("form", LOOPBACK)
def test_a_private_address_is_refused_however_it_is_written(loopback: Peer, form: str) -> None:
    url = form.format(port=loopback.port)
    with pytest.raises(RefusedURLError, match="not public"):
        check_url(url)
    with pytest.raises(RefusedURLError, match="not public"):
        request(url)
    assert loopback.connections == []


@pytest.mark.parametrize("form", LOOPBACK_NAMES)
def test_a_name_of_a_private_address_is_refused_when_the_socket_opens(loopback: Peer, form: str) -> None:
    check_url(form.format(port=loopback.port))
    with pytest.raises(RefusedURLError, match="not public"):
        request(form.format(port=loopback.port))
    assert loopback.connections == []


@pytest.mark.parametrize("form", [*LOOPBACK, *LOOPBACK_NAMES])
def test_the_same_forms_do_connect_where_private_addresses_are_allowed(loopback: Peer, form: str) -> None:
    check_url(form.format(port=loopback.port), allow_private=True)
    assert request_anywhere(form.format(port=loopback.port)) == (200, b"ok")
    assert len(loopback.connections) == 1


@pytest.mark.parametrize("form", NEVER)
def test_a_forbidden_url_is_refused(loopback: Peer, form: str) -> None:
    url = form.format(port=loopback.port)
    for try_url in (check_url, request_anywhere):
        with pytest.raises(RefusedURLError):
            try_url(url, allow_private=True)
    assert loopback.connections == []


@pytest.mark.parametrize("zone", ["%25lo", "%lo", "%251"])
def test_an_address_with_a_zone_is_refused(loopback: Peer, zone: str) -> None:
    for address in ("::1", "fe80::1", "2606:4700:4700::1111"):
        with pytest.raises(RefusedURLError, match="not public"):
            request(f"http://[{address}{zone}]:{loopback.port}/")
    assert loopback.connections == []


@pytest.mark.parametrize("url", ["https://example.com/", "http://1.1.1.1:8080/a?b", "http://[2606:4700:4700::1111]/"])
def test_a_url_that_may_be_public_passes_the_check(url: str) -> None:
    check_url(url)


@pytest.mark.usefixtures("_second_loopback_is_public")
def test_only_the_public_ones_of_several_addresses_are_connected_to(start_peer: StartPeer, resolve: Resolve) -> None:
    peer = start_peer(addresses=("127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"))
    resolve(["127.0.0.1", "::1", "127.0.0.3", "127.0.0.2"])
    assert request(f"http://mixed.example:{peer.port}/") == (200, b"ok")
    assert peer.connections == ["127.0.0.2"]


@pytest.mark.usefixtures("_second_loopback_is_public")
def test_no_private_address_stands_in_for_a_public_one_that_fails(start_peer: StartPeer, resolve: Resolve) -> None:
    peer = start_peer(addresses=("127.0.0.1", "::1"))
    resolve(["127.0.0.2", "127.0.0.1", "::1"])
    with pytest.raises(RequestFailedError, match="Connection refused"):
        request(f"http://mixed.example:{peer.port}/")
    assert peer.connections == []


@pytest.mark.usefixtures("_second_loopback_is_public")
def test_a_name_that_changes_its_address_is_judged_by_the_one_it_is_connected_to(
    start_peer: StartPeer, resolve: Resolve
) -> None:
    peer = start_peer(addresses=("127.0.0.1", "127.0.0.2"))
    dns = resolve(["127.0.0.2"], ["127.0.0.1"], ["127.0.0.2"])
    url = f"http://rebinding.example:{peer.port}/"
    check_url(url)
    assert request(url)[0] == 200
    with pytest.raises(RefusedURLError, match="not public"):
        request(url)
    assert request(url)[0] == 200
    assert peer.connections == ["127.0.0.2", "127.0.0.2"]
    assert dns.lookups["rebinding.example", 4] == 3  # one for each request


def test_every_private_address_of_a_name_is_refused(start_peer: StartPeer, resolve: Resolve) -> None:
    peer = start_peer(addresses=("127.0.0.1", "::1"))
    resolve(
        ["127.0.0.1", "::1", "10.1.2.3", "169.254.169.254", "64:ff9b::127.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1"]
    )
    with pytest.raises(RefusedURLError, match="not public"):
        request(f"http://private.example:{peer.port}/")
    assert peer.connections == []


def test_unix_sockets_are_refused_even_where_private_addresses_are_allowed() -> None:
    guard = http_client._Guard(allow_private=True)
    address = pycurl.CurlSockAddr(socket.AF_UNIX, socket.SOCK_STREAM, 0, b"/run/socket")
    assert guard.open_socket(0, address) == pycurl.SOCKET_BAD


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_guard_that_breaks_connects_nothing(loopback: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_address: str) -> bool:
        raise RuntimeError

    monkeypatch.setattr(http_client._Guard, "_allows", breaks)
    with pytest.raises(RequestFailedError):
        request_anywhere(loopback.url)
    assert loopback.connections == []


def test_a_name_in_any_script_is_sent_in_ascii(start_peer: StartPeer, resolve: Resolve) -> None:
    peer = start_peer()
    dns = resolve(["127.0.0.1"])
    request_anywhere(f"http://b\u00fccher.example:{peer.port}/h\u00e4 h?\u00fc")
    assert peer.requests[0].startswith(b"GET /h%C3%A4%20h?%C3%BC HTTP/1.1\r\nHost: xn--bcher-kva.example:")
    assert {name for name, _ in dns.lookups} == {"xn--bcher-kva.example"}


def test_a_body_and_headers_are_posted(start_peer: StartPeer) -> None:
    peer = start_peer()
    data = b"x" * 3_000_000  # above libcurl's limit for asking first whether it may send
    response = http_client.guarded_request(
        peer.url, data, headers={"webhook-id": "7"}, deadline_s=5, max_body_bytes=2, allow_private=True
    )
    assert response == (200, b"ok")
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert body == data
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert b"\r\nwebhook-id: 7" in head
    assert b"Expect" not in head


def test_no_proxy_of_the_environment_is_used(start_peer: StartPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, peer = start_peer(), start_peer()
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    assert request_anywhere(peer.url)[0] == 200
    with pytest.raises(RefusedURLError):
        request(f"https://localhost:{peer.port}/")
    assert proxy.connections == []


def test_no_credentials_of_the_machine_are_sent(
    start_peer: StartPeer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password word\ndefault login user password word\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    peer = start_peer(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n")
    assert request_anywhere(peer.url)[0] == 401
    assert b"Authorization" not in b"".join(peer.requests)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(start_peer: StartPeer, status: int) -> None:
    target = start_peer()
    peer = start_peer(b"HTTP/1.1 %d Go\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (status, target.url.encode()))
    assert request_anywhere(peer.url)[0] == status
    assert target.connections == []


def test_each_request_has_a_new_connection(start_peer: StartPeer) -> None:
    peer = start_peer(OK, holds=True)
    for _ in range(3):
        request_anywhere(peer.url)
    assert len(peer.connections) == 3


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""])


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


GZIPPED = gzip.compress(bytes(10_000_000))


@pytest.mark.parametrize(
    ("response", "endless"),
    [
        (head(b"Content-Length: 101"), b""),
        (head(b"Content-Length: 99999999999999"), b""),
        (head() + b"x" * 101, b""),
        (head(), b"x" * 10_000),
        (head(b"Transfer-Encoding: chunked") + chunk(b"x" * 101), b""),
        (head(b"Transfer-Encoding: chunked"), chunk(b"x")),
    ],
    ids=["told", "told to be huge", "until closed", "endless", "chunked", "endless chunks"],
)
def test_a_body_over_the_limit_is_given_up(start_peer: StartPeer, response: bytes, endless: bytes) -> None:
    peer = start_peer(response, endless=endless, holds=True)
    with pytest.raises(ResponseTooLargeError):
        request_anywhere(peer.url)
    assert peer.hung_up.wait(LIMIT_S)


@pytest.mark.parametrize("response", [head(b"Content-Length: 100"), head()], ids=["told", "until closed"])
def test_a_body_at_the_limit_is_returned(start_peer: StartPeer, response: bytes) -> None:
    assert request_anywhere(start_peer(response + b"x" * 100).url)[1] == b"x" * 100


def test_a_compressed_body_is_not_unpacked(start_peer: StartPeer) -> None:
    peer = start_peer(head(b"Content-Encoding: gzip", b"Content-Length: %d" % len(GZIPPED)) + GZIPPED)
    assert request_anywhere(peer.url, max_body_bytes=len(GZIPPED))[1] == GZIPPED
    peer = start_peer(head(b"Transfer-Encoding: gzip, chunked") + chunk(GZIPPED) + chunk(b""))
    with pytest.raises(RequestFailedError):
        request_anywhere(peer.url, max_body_bytes=len(GZIPPED))


@pytest.mark.parametrize(
    ("response", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["headers", "one header", "interim responses"],
)
@pytest.mark.parametrize("max_body_bytes", [0, 100])
def test_endless_headers_are_given_up(
    start_peer: StartPeer, response: bytes, endless: bytes, max_body_bytes: int
) -> None:
    peer = start_peer(response, endless=endless)
    with pytest.raises(RequestFailedError):
        request_anywhere(peer.url, max_body_bytes=max_body_bytes)
    assert peer.hung_up.wait(LIMIT_S)


@pytest.mark.parametrize(
    "response",
    [
        head(b"Content-Length: 10"),
        head(b"Content-Length: 1000000") + b"x",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + head(b"Content-Length: 1"),
    ],
    ids=["no body yet", "some of the body", "interim responses"],
)
def test_without_a_body_a_request_ends_after_the_headers(start_peer: StartPeer, response: bytes) -> None:
    peer = start_peer(response, holds=True)
    assert request_anywhere(peer.url, max_body_bytes=0) == (200, b"")
    assert peer.hung_up.wait(LIMIT_S)


@pytest.mark.parametrize("response", [b"", b"garbage\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_what_is_not_a_response_is_a_failure(start_peer: StartPeer, response: bytes) -> None:
    with pytest.raises(RequestFailedError):
        request_anywhere(start_peer(response).url, max_body_bytes=0)


@pytest.mark.parametrize("max_body_bytes", [0, 100])
@pytest.mark.parametrize("response", [b"", b"HTTP/1.1 200 OK\r\nX: "], ids=["silent", "in the headers"])
def test_the_deadline_ends_a_response_that_stalls(start_peer: StartPeer, response: bytes, max_body_bytes: int) -> None:
    peer = start_peer(response, holds=True)
    _is_over_after_the_deadline(peer.url, max_body_bytes=max_body_bytes)
    assert peer.hung_up.wait(LIMIT_S)


def test_the_deadline_ends_a_body_that_stalls(start_peer: StartPeer) -> None:
    _is_over_after_the_deadline(start_peer(head(b"Content-Length: 10") + b"x", holds=True).url)


def test_the_deadline_ends_a_tls_handshake_that_stalls(start_peer: StartPeer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _is_over_after_the_deadline(f"https://127.0.0.1:{silent.getsockname()[1]}/")


def test_the_deadline_ends_an_upload_that_is_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _is_over_after_the_deadline(f"http://127.0.0.1:{silent.getsockname()[1]}/", data=bytes(50_000_000))


def test_the_deadline_ends_a_lookup_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    new_handle = pycurl.Curl
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def asks_the_silent() -> pycurl.Curl:
            curl = new_handle()
            curl.setopt(pycurl.DOH_URL, f"https://127.0.0.1:{silent.getsockname()[1]}/")
            return curl

        monkeypatch.setattr(pycurl, "Curl", asks_the_silent)
        _is_over_after_the_deadline("http://slow.example/")


def _is_over_after_the_deadline(url: str, **options: Any) -> None:
    begin = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"0\.3 s"):
        request_anywhere(url, deadline_s=0.3, **options)
    assert 0.2 < time.monotonic() - begin < 30  # the other side never goes on


def test_tls_is_verified_by_the_name_in_the_url(start_peer: StartPeer, ca: trustme.CA, resolve: Resolve) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("consumer.example").configure_cert(context)
    peer = start_peer(tls=context)
    resolve(["127.0.0.1"])
    assert request_anywhere(f"https://consumer.example:{peer.port}/") == (200, b"ok")
    for host in ("other.example", "127.0.0.1"):
        with pytest.raises(RequestFailedError):
            request_anywhere(f"https://{host}:{peer.port}/")
    assert len(peer.requests) == 1


def test_a_certificate_of_an_unknown_authority_is_refused(start_peer: StartPeer, ca: trustme.CA) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    peer = start_peer(tls=context)
    with pytest.raises(RequestFailedError, match="certificate"):
        request_anywhere(f"https://127.0.0.1:{peer.port}/")
    assert peer.requests == []


def test_a_pool_keeps_its_connections_and_a_guarded_request_does_not_take_them(start_peer: StartPeer) -> None:
    peer = start_peer(OK)
    pool = Pool(["Content-Type: application/json"])
    assert pool.request(peer.url, b"{}", connect_timeout_s=60, timeout_s=60) == (200, b"ok")
    with pytest.raises(RefusedURLError):
        request(peer.url)
    assert pool.request(peer.url, None, connect_timeout_s=60, timeout_s=60) == (200, b"ok")
    assert [line.split(b" ")[0] for line in peer.requests] == [b"POST", b"GET"]


def test_a_timeout_below_a_millisecond_is_not_endless(start_peer: StartPeer) -> None:
    peer = start_peer(b"", holds=True)
    with pytest.raises(RequestFailedError):
        Pool([]).request(peer.url, None, connect_timeout_s=1, timeout_s=0.0001)
    with pytest.raises(DeadlineExceededError):
        request_anywhere(peer.url, deadline_s=0.0001)
