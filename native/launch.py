"""`launch.py PARENT SIGNAL COMMAND`: becomes `sh -c COMMAND`, to which the kernel sends SIGNAL when PARENT ends.

This is a separate process, because a program with threads must not run Python between fork and exec. It imports little,
because every start waits for it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(stop_signal: int) -> None:
    """Make the kernel send `stop_signal` to this process when its parent ends for any reason (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, stop_signal)


def main() -> None:
    parent, stop_signal, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # the parent blocks signals while it starts a process
    end_with_parent(stop_signal)
    if os.getppid() == parent:  # otherwise the parent ended before the call
        os.execv("/bin/sh", ["/bin/sh", "-c", f"exec {command}"])


if __name__ == "__main__":
    main()
