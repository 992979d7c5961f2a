"""The files in which each process counts. They outlive the process, and one exporter reads them all.

`prometheus_client` has a mode for several processes: each writes to memory-mapped files, and the scraped process adds
them up. By itself, it keeps the files of ended processes forever, and two containers may use the same process id. Here,
each process has a random name and holds a lock while it runs, and the exporter merges the files of ended processes.
https://prometheus.github.io/client_python/multiprocess/
"""

import fcntl
import json
import logging
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from prometheus_client import Metric, values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

logger = logging.getLogger(__name__)

KINDS = ("counter", "histogram")
"""The kinds of metrics that processes write. Gauges belong to the exporter."""

FILE_BYTES = 256 * 1024
"""The space reserved for each file. Writing to a mapped page that the disk has no room for would kill the process."""

_FOLDED = "folded"


class Identity:
    """The name of this process in the folder. The process takes it when it first counts, also after a fork.

    Empty if the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid = 0
        self._name = ""
        self._lock_file: IO[bytes] | None = None

    def __call__(self) -> str:
        if self._pid != os.getpid():
            self._pid = os.getpid()
            try:
                self._take_name()
            except OSError as error:  # counting must not fail a request, and a parent's files also work
                logger.warning("the metrics of this process may be incomplete: %s", error)
        return self._name

    def _take_name(self) -> None:
        name = secrets.token_hex(8)
        with ExitStack() as stack:
            for kind in KINDS:
                path = sample_file(self._folder, kind, name)
                stack.callback(path.unlink, missing_ok=True)
                with path.open("xb") as file:
                    _allocate(file)
            # Locked before it gets its final name, because a lock file that is not locked means an ended process.
            unlocked = self._folder / f"{name}.new"
            stack.callback(unlocked.unlink, missing_ok=True)
            lock_file = stack.enter_context(unlocked.open("xb"))
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unlocked.rename(_lock_path(self._folder, name))
            stack.pop_all()
        if self._lock_file:  # the parent's, which would otherwise look alive as long as its child
            self._lock_file.close()
        self._name, self._lock_file = name, lock_file


def _allocate(file: BinaryIO) -> None:
    if sys.platform == "linux":  # a full disk raises an error here, instead of when the memory is written
        os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
    else:
        file.truncate(FILE_BYTES)


class _Values:
    """Creates the values of metrics, in the folder if it can be used, and otherwise in memory."""

    def __init__(self, folder: Path) -> None:
        self._identity = Identity(folder)
        self._make_mapped: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._identity():
            return values.MutexValue(*args, **kwargs)  # type: ignore[no-untyped-call]
        if self._make_mapped is None:
            self._make_mapped = values.MultiProcessValue(self._identity)  # type: ignore[no-untyped-call]
        return self._make_mapped(*args, **kwargs)


def use_folder(folder: Path) -> None:
    """Make all metrics created after this call count in `folder`. Raises OSError if it cannot be created."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)  # where prometheus_client looks for it
    values.ValueClass = _Values(folder)


def collect(folder: Path) -> Iterable[Metric]:
    """Return the sums over all processes, running and ended. Merges the files of ended processes first."""
    with _exclusive(folder):
        _fold_ended(folder)
        files = [str(path) for kind in KINDS for path in folder.glob(f"{kind}_*.db")]
        metrics: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return metrics


def sample_file(folder: Path, kind: str, name: str) -> Path:
    return folder / f"{kind}_{name}.db"


def _lock_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Admit one exporter at a time: during a deployment, there may be two."""
    with (folder / "exporter").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fold_ended(folder: Path) -> None:
    _finish_interrupted(folder)
    for lock in folder.glob("*.lock"):
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            for kind in KINDS:
                _fold(folder, kind, lock.stem)
            lock.unlink()


def _fold(folder: Path, kind: str, name: str) -> None:
    """Add the file of an ended process to the sum of all ended ones. A crash in between counts nothing twice."""
    ended, folded = sample_file(folder, kind, name), sample_file(folder, kind, _FOLDED)
    if not ended.exists():
        return
    sums: dict[str, float] = {}
    for path in (folded, ended):
        with suppress(FileNotFoundError):
            for key, value, _, _ in _read(path):
                sums[key] = sums.get(key, 0.0) + value
    new = folder / f"{kind}_{name}.new"
    new.unlink(missing_ok=True)
    target = MmapedDict(str(new))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        target.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    target.close()  # type: ignore[no-untyped-call]
    ended.unlink()
    new.replace(folded)


def _finish_interrupted(folder: Path) -> None:
    """Keep a sum whose source is deleted, because it is complete. One whose source still exists is computed again."""
    for kind in KINDS:
        for new in folder.glob(f"{kind}_*.new"):
            name = new.stem.removeprefix(f"{kind}_")
            if not sample_file(folder, kind, name).exists():
                new.replace(sample_file(folder, kind, _FOLDED))


def _read(path: Path) -> list[tuple[str, float, float, int]]:
    """Return the entries of a file. A process that was killed while writing may have left the last one incomplete."""
    entries: list[tuple[str, float, float, int]] = []
    try:
        for entry in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
            json.loads(entry[0])
            entries.append(entry)
    except (RuntimeError, ValueError) as error:
        logger.warning("%s is damaged after %d entries: %s", path.name, len(entries), error)
    return entries
