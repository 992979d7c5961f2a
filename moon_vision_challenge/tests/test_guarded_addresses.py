"""A guarded request connects to a public address or not at all."""

import socket
from ipaddress import ip_address

import pycurl
import pytest

from moon_vision_challenge.http_client import (
    RefusedURLError,
    RequestFailedError,
    check_url,
    guarded,
)
from moon_vision_challenge.tests.dns_server import Resolve
from moon_vision_challenge.tests.guarded import request, request_anywhere
from moon_vision_challenge.tests.peer import Peer, StartPeer


@pytest.fixture
def _second_loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat 127.0.0.2 as the only public address: a test cannot listen on a real one."""
    monkeypatch.setattr(guarded, "is_public", lambda address: ip_address(address) == ip_address("127.0.0.2"))


# What libcurl, getaddrinfo, or another URL parser may read as 127.0.0.1 or ::1.
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
# The same address by name. libcurl itself knows `localhost`.
LOOPBACK_NAMES = ["http://localhost:{port}/", "http://LOCALHOST.:{port}/", "http://%6c%6fcalhost:{port}/"]
# URLs that libcurl never connects to, however public the address is.
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
    guard = guarded._Guard(allow_private=True)
    address = pycurl.CurlSockAddr(socket.AF_UNIX, socket.SOCK_STREAM, 0, b"/run/socket")
    assert guard.open_socket(0, address) == pycurl.SOCKET_BAD


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_guard_that_breaks_connects_nothing(loopback: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_address: str) -> bool:
        raise RuntimeError

    monkeypatch.setattr(guarded._Guard, "_allows", breaks)
    with pytest.raises(RequestFailedError):
        request_anywhere(loopback.url)
    assert loopback.connections == []
