"""A waiting process that has already imported the application. Importing takes ten seconds on a busy machine."""

import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, Protocol

from django.db import connections

logger = logging.getLogger(__name__)

_GO, _DONE = b"g", b"d"
_LOOK_EVERY_S = 1.0


class Job(Protocol):
    @property
    def must_end(self) -> bool: ...

    def run(self) -> None: ...


class Reserve:
    """A fork of this process, which must not have started threads yet. It shares the memory of the imported modules.

    Args:
        make_job: called in the new process.
    """

    def __init__(self, make_job: Callable[[], Job]) -> None:
        connections.close_all()  # two processes must not share a connection
        self._ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            self._ours.close()
            _serve(theirs, make_job)
        theirs.close()
        self._ours.settimeout(0)
        self._is_working = False
        self._is_alive = True

    def go(self) -> bool:
        """Start the job. Returns False if the process has ended, such as after an image that took too much memory."""
        if not self._is_alive:
            return False
        with suppress(OSError):  # the process has just ended
            self._ours.send(_GO)
            self._is_working = True
        return self.is_working()

    def is_working(self) -> bool:
        if not self._is_working:
            return False
        try:
            said = self._ours.recv(1)
        except BlockingIOError:
            return True
        except OSError:
            said = b""
        self._is_working = False
        self._is_alive = said == _DONE
        return False

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGTERM)

    def join(self) -> None:
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _serve(orders: socket.socket, make_job: Callable[[], Job]) -> NoReturn:
    """Run the job in the new process, once per order."""
    try:
        job = make_job()
        orders.settimeout(_LOOK_EVERY_S)
        while not job.must_end:
            try:
                order = orders.recv(1)
            except TimeoutError:
                continue
            if not order:
                break
            job.run()
            orders.sendall(_DONE)
    except Exception:
        logger.exception("the process that works without Redis has failed")
    finally:
        os._exit(0)  # it must not run its parent's exit handlers
