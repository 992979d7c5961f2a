"""CPU time and memory of a service with all its processes, the decoders among them."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_RESET_PEAK = "5"
"""For clear_refs: proc(5)."""
_DECODER = "images.decoder"
"""In the command of a process that decodes images for another one."""


class Meter:
    """Linux only: it reads /proc."""

    def __init__(self, pid: int) -> None:
        self._leader = psutil.Process(pid)

    def cpu_s(self) -> float:
        """User and system time since the start, that of processes that have ended included."""
        return sum(sum(process.cpu_times()[:4]) for process in self._processes())

    def reset_peak(self) -> None:
        for process in self._processes():
            with suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text(_RESET_PEAK)

    def peak_bytes(self) -> int:
        """The most memory that one process has had since `reset_peak`. A process that has ended does not count."""
        return max(map(_peak_bytes, self._processes()))

    def bytes(self) -> dict[str, int]:
        """The memory of each process now, decoders apart. A page that n processes share counts as an nth in each."""
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
