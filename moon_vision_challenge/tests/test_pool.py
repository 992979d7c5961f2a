"""Requests whose connection breaks, as when the server is replaced."""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from moon_vision_challenge.http_client import ConnectionBrokenError, DeadlineExceededError, Pool, RequestFailedError
from moon_vision_challenge.http_client import pool as pool_module
from moon_vision_challenge.tests.dns_server import Resolve
from moon_vision_challenge.tests.peer import OK, Peer, ok
from native.environment import free_port

HANGS_UP = b""
RESETS = b"reset"
SILENT_S = 600.0

Reply = bytes | float
"""What a connection gets: bytes, or this many seconds of silence and then the end."""


class ReplacedPeer(Peer):
    """A peer that treats each new connection as the next server would."""

    def __init__(self, *replies: Reply, **options: tuple[str, ...]) -> None:
        super().__init__(**options)  # type: ignore[arg-type]  # only `addresses`
        self._replies = iter(replies)
        self._is_over = Event()

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        super().__exit__(*error)

    def _serve(self, connection: socket.socket) -> None:
        reply = next(self._replies, OK)
        if reply == RESETS:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return
        if isinstance(reply, float):
            self._is_over.wait(reply)
        self._response = reply if isinstance(reply, bytes) else HANGS_UP
        super()._serve(connection)


StartPeer = Callable[..., ReplacedPeer]
Post = Callable[..., tuple[int, bytes]]


@pytest.fixture
def start_peer() -> Iterator[StartPeer]:
    with ExitStack() as stack:
        yield lambda *replies, **options: stack.enter_context(ReplacedPeer(*replies, **options))


@pytest.fixture
def post() -> Post:
    return partial(Pool([]).request, data=b'{"instances": []}', connect_timeout_s=60, timeout_s=60)


@pytest.mark.parametrize("first", [HANGS_UP, RESETS], ids=["hangs up", "resets"])
def test_a_request_whose_new_connection_breaks_without_an_answer_is_sent_once_more(
    start_peer: StartPeer, post: Post, first: bytes
) -> None:
    peer = start_peer(first, OK)
    assert post(peer.url) == (200, b"ok")
    assert len(peer.connections) == 2
    assert peer.requests[-1].endswith(b'{"instances": []}')


@pytest.mark.parametrize("end", [HANGS_UP, RESETS], ids=["hangs up", "resets"])
def test_it_is_not_sent_a_third_time(start_peer: StartPeer, post: Post, end: bytes) -> None:
    peer = start_peer(*[end] * 5)
    with pytest.raises(ConnectionBrokenError):
        post(peer.url)
    assert len(peer.connections) == 2


def test_a_request_that_was_answered_in_part_is_not_sent_again(start_peer: StartPeer, post: Post) -> None:
    peer = start_peer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    with pytest.raises(RequestFailedError):
        post(peer.url)
    assert len(peer.connections) == 1


def test_a_request_that_is_late_is_not_sent_again(start_peer: StartPeer, post: Post) -> None:
    peer = start_peer(SILENT_S)
    with pytest.raises(DeadlineExceededError):
        post(peer.url, timeout_s=0.2)
    assert len(peer.connections) == 1


def test_both_tries_have_one_deadline(start_peer: StartPeer, post: Post) -> None:
    peer = start_peer(0.5, SILENT_S)
    begin = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        post(peer.url, timeout_s=1.0)
    assert time.monotonic() - begin < SILENT_S / 10


def test_a_server_that_refuses_is_asked_twice_and_no_more() -> None:
    with pytest.raises(ConnectionBrokenError):
        Pool([]).request(f"http://127.0.0.1:{free_port()}/", b"", connect_timeout_s=60, timeout_s=60)


def test_a_server_that_is_replaced_at_its_port_costs_no_request(post: Post) -> None:
    port = free_port()
    for number in range(5):
        with Fixed(port, b"%d" % number) as peer:
            assert [post(peer.url)[1] for _ in range(3)] == [b"%d" % number] * 3


def test_a_name_that_has_moved_is_looked_up_again(start_peer: StartPeer, post: Post, resolve: Resolve) -> None:
    peer = start_peer(addresses=("127.0.0.1",))
    resolve(["127.0.0.3"], ["127.0.0.1"])  # no server listens at the first
    assert post(f"http://model.test:{peer.port}/") == (200, b"ok")


def test_a_server_that_goes_while_its_name_moves_costs_no_request(
    start_peer: StartPeer, post: Post, resolve: Resolve
) -> None:
    """The old server's last connection breaks when the name already leads to the new server."""
    peer = start_peer(HANGS_UP, OK, addresses=("127.0.0.1", "127.0.0.3"))
    resolve(["127.0.0.3"], ["127.0.0.1"])
    assert post(f"http://model.test:{peer.port}/") == (200, b"ok")
    assert peer.connections == ["127.0.0.3", "127.0.0.1"]


def test_threads_that_lose_their_connections_at_the_same_time_are_all_served(start_peer: StartPeer, post: Post) -> None:
    peer = start_peer(*[OK] * 8)
    with ThreadPoolExecutor(8) as threads:
        assert {*threads.map(lambda _: post(peer.url), range(50))} == {(200, b"ok")}


class Fixed(Peer):
    """Takes over a port, and keeps each connection for several requests."""

    def __init__(self, port: int, body: bytes) -> None:
        super().__init__(ok(body), port=port)


class CountingServer(ThreadingHTTPServer):
    """Keeps connections open, and counts them."""

    daemon_threads = True
    connections = 0

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class EmptyAnswer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Do not write to standard error."""


def test_connections_end_so_that_a_balancer_can_choose_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "CONNECTION_LIFETIME_S", 1)
    pool, end = Pool([]), time.monotonic() + 600
    with CountingServer(("127.0.0.1", 0), EmptyAnswer) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        requests = 0
        while server.connections < 2:
            assert time.monotonic() < end
            pool.request(url, None, connect_timeout_s=60, timeout_s=60)
            requests += 1
        server.shutdown()
    assert requests > 2
