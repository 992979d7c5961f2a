"""Measures the CPU time and memory of all processes of a service, including the decoders."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_RESET_PEAK = "5"
"""The value for clear_refs: proc(5)."""
_DECODER = "images.decoder"
"""A part of the command of a process that decodes images for another one."""


class Meter:
    """A meter that works only on Linux, because it reads /proc."""

    def __init__(self, pid: int) -> None:
        self._leader = psutil.Process(pid)

    def cpu_s(self) -> float:
        """Return the user and system time since the start, including that of processes that have ended."""
        return sum(sum(process.cpu_times()[:4]) for process in self._processes())

    def reset_peak(self) -> None:
        for process in self._processes():
            with suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text(_RESET_PEAK)

    def peak_bytes(self) -> int:
        """Return the most memory of a single process since `reset_peak`. Processes that have ended do not count."""
        return max(map(_peak_bytes, self._processes()))

    def bytes(self) -> dict[str, int]:
        """Return the memory of each process, labeled by kind. A page shared by n processes counts as 1/n in each."""
        found = {}
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                is_decoder = _DECODER in " ".join(process.cmdline())
                kind = "decoder" if is_decoder else "leader" if process.pid == self._leader.pid else "process"
                found[f"{kind} {process.pid}"] = process.memory_full_info().pss
        return found

    def _processes(self) -> Iterator[psutil.Process]:
        for process in (self._leader, *self._leader.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE:
                    yield process


def _peak_bytes(process: psutil.Process) -> int:
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
