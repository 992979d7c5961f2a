"""Forwards the SIGINT that `make` does not pass on.

GNU make does not forward SIGINT, because at a terminal the kernel sends it to every process. After a `kill -INT`, make
removes its handler, blocks the signal, and waits for its recipes. It sends them nothing and outlives them, so neither a
trap in the recipe's shell nor PR_SET_PDEATHSIG notices. The only way left is to poll the signal mask that the kernel
shows for make (Linux only).
"""

import os
import signal
import threading
import time
from pathlib import Path

CHECK_INTERVAL_S = 0.2


def watch_make() -> None:
    """Send SIGINT to this process when a `make` above it has received one or was killed."""
    makes = _makes_above(os.getppid())
    if makes:
        threading.Thread(target=_watch, args=(makes,), daemon=True).start()


def _watch(makes: list[int]) -> None:
    while not any(map(_is_over, makes)):
        time.sleep(CHECK_INTERVAL_S)
    os.kill(os.getpid(), signal.SIGINT)


def _makes_above(pid: int) -> list[int]:
    makes = []
    while (status := _status(pid)) and status["Name"] in {"make", "gmake"}:
        makes.append(pid)
        pid = int(status["PPid"])
        while (shell := _status(pid)) and shell["Name"] in {"sh", "dash", "bash"}:  # between a make and the one above
            pid = int(shell["PPid"])
    return makes


def _is_over(make: int) -> bool:
    status = _status(make)
    interrupt = 1 << (signal.SIGINT - 1)
    return not status or bool(int(status["SigBlk"], 16) & ~int(status["SigCgt"], 16) & interrupt)


def _status(pid: int) -> dict[str, str]:
    """Return what Linux reports about the process. Empty if it has ended, or on another system."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
