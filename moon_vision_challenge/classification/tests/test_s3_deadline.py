"""An S3 server that sends or reads byte by byte costs no more than the deadline."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from unittest.mock import patch

import pytest
from botocore.config import Config
from django.core.files.base import ContentFile

from chaos.outages.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.media_store.s3 import S3Store
from moon_vision_challenge.classification.media_store.s3_deadline import DeadlineExceededError, _thread, deadline
from moon_vision_challenge.classification.tests.waiting import wait_for

PATIENCE_S = 600.0
"""How long each wait for the next bytes may take: only the deadline ends a call."""
PAUSE_S = 0.05


class Dripping:
    """A server that sends `sent` byte by byte, or reads the request byte by byte. It never stops by itself."""

    def __init__(self, sent: bytes, *, reads_slowly: bool = False) -> None:
        self._sent, self._reads_slowly = sent, reads_slowly
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self._stopped = threading.Event()
        self.connections = 0
        self.has_dripped = threading.Event()
        self.hung_up = threading.Event()
        self.hurries = threading.Event()
        """Set it to read what has arrived: a client that has hung up is noticed after its last byte."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._drip, args=(client,), daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _drip(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            if not self._reads_slowly:
                client.recv(65536)
            for byte in self._bytes():
                hurries = self.hurries.is_set()
                if self._stopped.wait(0 if hurries else PAUSE_S):
                    return
                if self._reads_slowly and not client.recv(65536 if hurries else 1):
                    break
                if not self._reads_slowly:
                    client.sendall(bytes([byte]))
                self.has_dripped.set()
        self.hung_up.set()

    def _bytes(self) -> Iterator[int]:
        yield from self._sent
        while True:
            yield ord("x")


@contextmanager
def dripping(sent: bytes = b"", *, reads_slowly: bool = False) -> Iterator[Dripping]:
    """Run a server, and let the time of each call end once it drips: on a busy machine, connecting may take longer."""
    server = Dripping(sent, reads_slowly=reads_slowly)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()

    def timer(_seconds: float, end: Callable[[], None]) -> threading.Thread:
        def wait_and_end() -> None:
            server.has_dripped.wait(PATIENCE_S)
            end()

        waiting = threading.Thread(target=wait_and_end)
        waiting.cancel = server.has_dripped.set  # type: ignore[attr-defined]  # like that of a Timer
        return waiting

    with patch.object(threading, "Timer", timer):
        yield server
    server.stop()
    thread.join()


def store_at(server: Dripping, *, attempts: int = 1) -> S3Store:
    client_config = Config(
        signature_version="s3v4",
        connect_timeout=PATIENCE_S,
        read_timeout=PATIENCE_S,
        retries={"mode": "standard", "total_max_attempts": attempts},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return S3Store(
        deadline_s=1,
        list_deadline_s=1,
        bucket_name=BUCKET,
        location="media",
        region_name="us-east-1",
        endpoint_url=server.url,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        client_config=client_config,
    )


def read(store: S3Store) -> None:
    store.open("photo.jpg")


def write(store: S3Store) -> None:
    store._save("photo.jpg", ContentFile(b"x" * 9_000_000))


def delete(store: S3Store) -> None:
    store.delete("photo.jpg")


def check(store: S3Store) -> None:
    store.check()


def list_all(store: S3Store) -> None:
    store.stored_bytes()


HEADERS = b"HTTP/1.1 200 OK\r\nX-"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@pytest.fixture(autouse=True)
def _no_bound_on_stored_bytes(db: None) -> None:
    """Redis counts them."""


WITHOUT_LENGTH = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("call", "sent"),
    [
        *((call, sent) for call in (read, write, delete, list_all) for sent in (b"", HEADERS, HEAD, WITHOUT_LENGTH)),
        *((check, sent) for sent in (b"", HEADERS)),
    ],
)
def test_an_answer_that_drips_ends_at_the_deadline(call: Callable[[S3Store], None], sent: bytes) -> None:
    with dripping(sent) as server:
        with pytest.raises(StorageUnavailableError, match="within 1 s"):
            call(store_at(server))
        assert server.hung_up.wait(PATIENCE_S)


def test_an_upload_that_is_taken_byte_by_byte_ends_at_the_deadline() -> None:
    with dripping(reads_slowly=True) as server:
        with pytest.raises(StorageUnavailableError, match="within 1 s"):
            write(store_at(server))
        server.hurries.set()
        assert server.hung_up.wait(PATIENCE_S)


def test_the_deadline_bounds_all_attempts_together() -> None:
    with dripping() as server, pytest.raises(StorageUnavailableError, match="within 1 s"):
        read(store_at(server, attempts=5))
    assert server.connections == 1


def test_after_a_drip_the_store_is_not_asked_for_a_while() -> None:
    with dripping() as server:
        store = store_at(server)
        with pytest.raises(StorageUnavailableError, match="within 1 s"):
            read(store)
        with pytest.raises(StorageUnavailableError, match="skipped"):
            read(store)
        assert store._pending._late_at == []


def test_an_error_before_the_deadline_stays_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), deadline(PATIENCE_S):
        raise ZeroDivisionError


def test_what_looks_complete_after_the_deadline_is_not() -> None:
    with pytest.raises(DeadlineExceededError), deadline(0.01):
        wait_for(lambda: _thread.call is not None and _thread.call.is_over, "the deadline")
