"""The parent process: it listens, starts the serving processes, restarts those that end, and stops them all."""

import contextlib
import logging
import mmap
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .limits import Limits
from .service import Service
from .worker import Worker, freeze

logger = logging.getLogger(__name__)

BACKLOG = 4096
LOAD_FAILED = 3
MAX_PAUSE_S = 30.0
CALM_S = 60  # a process that lived this long is restarted at once
KILL_AFTER_S = 3  # in addition to the time that a process may take to stop
SPARE_FILES = 200  # files that are not connections
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class CannotListenError(Exception):
    """The address is in use, or does not belong to this machine."""


ANY = "::"
"""The host that stands for all IPv6 and IPv4 addresses of this machine."""


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address. ANY also accepts IPv4 connections, and only those if the machine has no IPv6.

    Raises CannotListenError with a sentence for the operator.
    """
    if host == ANY and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"  # noqa: S104 - all addresses are meant
    with contextlib.ExitStack() as stack:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if host == ANY:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # the kernel's default may be 1
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise CannotListenError(f"Cannot listen on {host}:{port}: {error.strerror or error}.") from error
        stack.pop_all()
    return listener


def serve(
    load: Callable[[], Service], host: str, port: int, *, processes: int, reload_paths: Sequence[Path] = ()
) -> int:
    """Listen and serve until SIGTERM or SIGINT. Returns the exit code. Reports a taken port to standard error."""
    try:
        listener = listen(host, port)
    except CannotListenError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return Supervisor(load, listener, processes=processes).run(reload_paths)


@dataclass
class _Slot:
    """The slot of one process and of its replacements."""

    pid: int = 0
    started_at: float = 0.0
    start_at: float = 0.0
    pause_s: float = 0.0


class Supervisor:
    """Loads the service once, then forks, so that the processes share its memory."""

    def __init__(self, load: Callable[[], Service], listener: socket.socket, *, processes: int) -> None:
        self._load = load
        self._listener = listener
        self._counts = memoryview(mmap.mmap(-1, 8 * processes)).cast("q")
        self._slots = [_Slot() for _ in range(processes)]
        self._is_stopping = self._is_reloading = False

    def run(self, reload_paths: Sequence[Path] = ()) -> int:
        """Serve until SIGTERM or SIGINT. Returns the exit code. A change in `reload_paths` reloads everything."""
        stop_timeout_s = Limits.stop_timeout_s
        if reload_paths:
            threading.Thread(target=_watch, args=(reload_paths,), daemon=True).start()
        else:
            service = self._load()
            self._load = lambda: service
            stop_timeout_s = service.limits.stop_timeout_s
            freeze()
        self._wakened, wake = socket.socketpair()
        for end in (self._wakened, wake):
            end.settimeout(0)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._note)
        while not self._is_stopping:
            self._start_missing()
            self._sleep()
            self._reap()
            if self._is_reloading:
                self._reload()
        return self._stop(time.monotonic() + stop_timeout_s + KILL_AFTER_S)

    def _note(self, number: int, _frame: object) -> None:
        self._is_stopping |= number in (signal.SIGTERM, signal.SIGINT)
        self._is_reloading |= number == signal.SIGHUP

    def _sleep(self) -> None:
        """Wait until a signal arrives, or until a process must be restarted."""
        starts = [slot.start_at for slot in self._slots if not slot.pid]
        timeout_s = max(0.0, min(starts) - time.monotonic()) if starts else None
        select.select([self._wakened], [], [], timeout_s)
        with contextlib.suppress(BlockingIOError):
            self._wakened.recv(512)

    def _start_missing(self) -> None:
        now = time.monotonic()
        for number, slot in enumerate(self._slots):
            if not slot.pid and slot.start_at <= now:
                slot.pid, slot.started_at = self._fork(number), now

    def _fork(self, number: int) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_worker(number, parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        return pid

    def _become_worker(self, number: int, parent: int) -> None:
        signal.set_wakeup_fd(-1)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the parent, which passes it on
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        code = LOAD_FAILED
        try:
            service = self._load()
            allow_files(service.limits.max_connections + SPARE_FILES)
            code = 1
            Worker(service, self._listener, self._counts, number, parent).serve()
            code = 0
        except Exception:  # no exception may reach the parent's frames, which are above
            logger.exception("a web process cannot continue")
        finally:
            logging.shutdown()
            os._exit(code)  # do not wait for threads that still run the application

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.pid and os.waitpid(slot.pid, os.WNOHANG)[0]:
                self._ended(slot)

    def _ended(self, slot: _Slot) -> None:
        now = time.monotonic()
        lived_s = now - slot.started_at
        slot.pause_s = 0.0 if lived_s > CALM_S else min(MAX_PAUSE_S, max(0.5, slot.pause_s * 2))
        slot.start_at = now + slot.pause_s
        if not self._is_stopping and not self._is_reloading:
            logger.error("web process %d ended, a new one starts in %.1f s", slot.pid, slot.pause_s)
        slot.pid = 0

    def _reload(self) -> None:
        logger.info("the code has changed, restarting the web processes")
        self._signal(signal.SIGTERM)
        for slot in self._slots:
            if slot.pid:
                os.waitpid(slot.pid, 0)
            slot.pid, slot.start_at, slot.pause_s = 0, 0.0, 0.0
        self._is_reloading = False

    def _stop(self, deadline: float) -> int:
        self._signal(signal.SIGTERM)
        while any(slot.pid for slot in self._slots) and time.monotonic() < deadline:
            select.select([self._wakened], [], [], 0.1)
            with contextlib.suppress(BlockingIOError):
                self._wakened.recv(512)
            self._reap()
        self._signal(signal.SIGKILL)
        return 0

    def _signal(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.pid:
                os.kill(slot.pid, number)


def allow_files(count: int) -> None:
    """Raise the limit on open files: each connection is one, and the usual limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _watch(paths: Sequence[Path]) -> None:
    import watchfiles  # noqa: PLC0415 - a development tool, which production does not install

    for _ in watchfiles.watch(*paths, watch_filter=watchfiles.PythonFilter()):
        os.kill(os.getpid(), signal.SIGHUP)
