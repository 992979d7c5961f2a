"""Clients that repeat the same request, and its cost in the processes that answer."""

import http.client
import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

TIMEOUT_S = 30
READ_SIZE = 1 << 16
BOUNDARY = "7f3a91c2e84b4d0a"


@dataclass(frozen=True)
class Load:
    """The result of one run of `post`."""

    requests: int
    rate: float
    """Requests per second."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: dict[str, float]
    """The user and system CPU time per request of each service with all its processes, in milliseconds."""


def multipart(path: str, host: str, files: Mapping[str, bytes], fields: Mapping[str, str]) -> bytes:
    """Return the bytes of a whole POST request with multipart/form-data."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, data in files.items():
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="photo.jpg"\r\n'
        parts.append(head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + data + b"\r\n")
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def post(
    url: str,
    request: bytes | Callable[[], bytes],
    *,
    clients: int,
    seconds: float,
    services: Mapping[str, int],
    check: Callable[[int, bytes], bool],
) -> Load:
    """Post `request` for `seconds` from `clients` keep-alive connections, one thread each.

    A thread hands the prepared bytes to the kernel and parses only the necessary part of the answer's head. The clients
    therefore take little CPU from the services on the same machine.

    Args:
        request: the bytes, or a function that makes those of each request.
        services: the process id of each service to measure, by name.
        check: whether the status and body of an answer are right.

    Raises RuntimeError at the first wrong answer.
    """
    address = urlsplit(url).hostname, urlsplit(url).port
    latencies: list[float] = []
    errors: list[Exception] = []
    stop = threading.Event()

    def client() -> None:
        try:
            with socket.create_connection(address, timeout=TIMEOUT_S) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while not stop.is_set():
                    data = request if isinstance(request, bytes) else request()
                    start = time.perf_counter()
                    connection.sendall(data)
                    status, body = _read(connection)
                    if not check(status, body):
                        raise RuntimeError(f"{url} answered {status}: {body[:300]!r}")
                    latencies.append(time.perf_counter() - start)
        except (OSError, RuntimeError) as error:
            errors.append(error)
            stop.set()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    before = {name: cpu_s(pid) for name, pid in services.items()}
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    stop.wait(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    if errors:
        raise RuntimeError(f"{url}: {errors[0]}") from errors[0]
    done, ranked = len(latencies), sorted(latencies)
    return Load(
        requests=done,
        rate=done / elapsed,
        p50_ms=statistics.median(latencies) * 1e3,
        p95_ms=ranked[int(done * 0.95)] * 1e3,
        p99_ms=ranked[int(done * 0.99)] * 1e3,
        cpu_ms={name: (cpu_s(pid) - before[name]) / done * 1e3 for name, pid in services.items()},
    )


def _read(connection: socket.socket) -> tuple[int, bytes]:
    """Return the status and body of one answer, which must state its Content-Length."""
    data = connection.recv(READ_SIZE)
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(connection)
    head = data[:end].lower()
    _, found, length = head.partition(b"\r\ncontent-length:")
    if not found:
        raise RuntimeError(f"no Content-Length: {head!r}")
    total = end + 4 + int(length.partition(b"\r\n")[0])
    while len(data) < total:
        data += _more(connection)
    return int(head.split(b" ", 2)[1]), data[end + 4 :]


def _more(connection: socket.socket) -> bytes:
    if not (data := connection.recv(READ_SIZE)):
        raise ConnectionError("the server has closed the connection")
    return data


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_s(pid: int) -> float:
    """Return the user and system CPU time of a process and its living descendants so far, in seconds."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in tree(pid)))


def memory_mb(pid: int) -> float:
    """Return the proportional set size of a process and its descendants in MB. It counts shared pages once."""
    return sum(process.memory_full_info().pss for process in tree(pid)) / 1e6


def answers(url: str) -> bool:
    """Return whether a GET of this URL returns 200."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", address.path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def is_label(status: int, body: bytes) -> bool:
    """Return whether an answer carries a label, as ours and the peers' do."""
    return status == 200 and bool(json.loads(body).get("label"))
