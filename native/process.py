"""The runner's use of the operating system: no process outlives it, and no signal arrives at the wrong time."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import psutil

from .environment import CannotRunError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_TIMEOUT_S = 10
KILL_TIMEOUT_S = 5  # a process that waits for a broken disk or network folder cannot be killed
POLL_S = 0.05


def poll(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until the condition holds. Returns False if it does not within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


@contextmanager
def stop_signals_held() -> Iterator[None]:
    """Delay Ctrl-C and similar signals, so that no process starts without being recorded."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def only_one(run_dir: Path) -> Iterator[None]:
    """Hold the lock of `run_dir`. The kernel releases it when this process ends for any reason.

    Raises CannotRunError if another process holds it.
    """
    run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
    with (run_dir / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise CannotRunError(
                f"The services of {run_dir} are already running (process {lock.read().strip() or 'unknown'}): "
                "stop that run with Ctrl-C first."
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock `path`, then hold it."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def hold_folder(folder: Path, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Lock a data folder for this process, for the program that it becomes, and for all children of that program.

    A server that was killed may leave children behind, which still write. Raises CannotRunError if the folder is not
    free after `timeout_s`.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)

    def is_free() -> bool:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    if not poll(is_free, timeout_s):
        raise CannotRunError(f"Another server still uses the data in {folder}: stop it, then start again.")
    os.set_inheritable(lock, True)


class ProcessGroups:
    """The process groups of a run, kept in a file, so that the next run finds what a killed runner left behind."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started: dict[int, float] = {}  # start time of each leader, by its id, which is also that of the group

    def add(self, leader: int) -> None:
        self._started[leader] = psutil.Process(leader).create_time()
        self._save()

    def discard(self, leader: int) -> None:
        self._started.pop(leader, None)
        self._save()

    def stop_leftovers(self) -> list[int]:
        """End the groups in the file that are still the same groups, and return their ids."""
        if not self._path.exists():
            return []
        recorded = json.loads(self._path.read_text())
        if recorded["boot"] != _boot_id():
            return []
        left = [int(leader) for leader, started in recorded["groups"].items() if _is_left(int(leader), started)]
        families = {leader: family(leader) for leader in left}
        for leader in left:
            signal_group(leader, signal.SIGTERM)
        poll(lambda: not any(map(is_alive, chain(*families.values()))), STOP_TIMEOUT_S)
        for leader in left:
            kill_family(leader, families[leader])
        return left

    def _save(self) -> None:
        new = self._path.with_name(self._path.name + ".new")  # so that readers and the next run see the whole file
        new.write_text(json.dumps({"boot": _boot_id(), "groups": self._started}))
        new.rename(self._path)


def group_members(leader: int) -> list[psutil.Process]:
    """Return the living processes of the group."""
    members = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getpgid(process.pid) == leader and process.info["status"] != psutil.STATUS_ZOMBIE:
                members.append(process)
        except ProcessLookupError:
            continue  # it ended after it was listed
    return members


def family(leader: int) -> set[psutil.Process]:
    """Return the living members of the group and descendants of its leader. PostgreSQL's children leave the group."""
    try:
        descendants = psutil.Process(leader).children(recursive=True)
    except psutil.NoSuchProcess:
        descendants = []
    return {*group_members(leader), *filter(is_alive, descendants)}


def is_alive(process: psutil.Process) -> bool:
    """Return whether the process is alive. A zombie is not: it only waits for its parent."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_family(leader: int, known: Iterable[psutil.Process] = ()) -> bool:
    """Kill the group and its `known` processes, and wait until none is left. Returns False after KILL_TIMEOUT_S.

    The kernel takes a while to free the memory of a killed process, and lists the process until then.
    """
    signal_group(leader, signal.SIGKILL)
    remaining = {*known, *family(leader)}
    for process in filter(is_alive, remaining):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return poll(lambda: not any(map(is_alive, remaining)), KILL_TIMEOUT_S)


def signal_group(leader: int, number: signal.Signals) -> None:
    """Send a signal to the whole group, if it still has processes."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return


def _is_left(leader: int, started: float) -> bool:
    """Linux does not reuse an id while a group has it, so only a living leader needs to be compared."""
    members = group_members(leader)
    return bool(members) and all(process.pid != leader or process.create_time() == started for process in members)


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else str(psutil.boot_time())
