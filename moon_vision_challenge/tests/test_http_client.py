import ssl
from pathlib import Path

import pytest
import trustme

from moon_vision_challenge import http_client
from moon_vision_challenge.http_client import (
    Pool,
    RefusedURLError,
    RequestFailedError,
)
from moon_vision_challenge.tests.dns_server import Resolve
from moon_vision_challenge.tests.guarded import request, request_anywhere
from moon_vision_challenge.tests.peer import OK, StartPeer


def test_a_name_in_any_script_is_sent_in_ascii(start_peer: StartPeer, resolve: Resolve) -> None:
    peer = start_peer()
    dns = resolve(["127.0.0.1"])
    request_anywhere(f"http://b\u00fccher.example:{peer.port}/h\u00e4 h?\u00fc")
    assert peer.requests[0].startswith(b"GET /h%C3%A4%20h?%C3%BC HTTP/1.1\r\nHost: xn--bcher-kva.example:")
    assert {name for name, _ in dns.lookups} == {"xn--bcher-kva.example"}


def test_a_body_and_headers_are_posted(start_peer: StartPeer) -> None:
    peer = start_peer()
    data = b"x" * 3_000_000  # above the size at which libcurl first asks for permission to send
    response = http_client.guarded_request(
        peer.url, data, headers={"webhook-id": "7"}, deadline_s=60, max_body_bytes=2, allow_private=True
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
