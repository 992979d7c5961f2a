"""Starts, watches, and stops the services of the Procfile as real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Self

import psutil
from honcho.environ import parse_procfile

from . import readiness
from .environment import ROOT, CannotRunError, check_ports, own_services, service_environment
from .logs import Logs
from .process import STOP_TIMEOUT_S, ProcessGroups, family, kill_family, only_one, poll, stop_signals_held

# These are stopped last, because a worker that finishes its batch still needs them.
FOUNDATIONS = ("postgres", "redis", "model_server")
# PostgreSQL's "fast" shutdown does not wait for clients to leave. On SIGTERM, the others finish their work.
STOP_SIGNAL = {"postgres": signal.SIGINT}


class ServiceDiedError(CannotRunError):
    """A service has ended without being stopped."""


class Services:
    """The services of one run directory.

    honcho reads the Procfile and prints the lines. Its Manager is not used: it starts everything at once, cannot
    restart one service, kills all of them after the same five seconds, and does not handle SIGHUP.
    """

    def __init__(self, env: Mapping[str, str], *, procfile: Path = ROOT / "Procfile", echo: bool = False) -> None:
        self.env = dict(env)
        self.commands: dict[str, str] = dict(parse_procfile(procfile.read_text()).processes)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._run_dir = Path(env["RUN_DIR"])
        self._groups = ProcessGroups(self._run_dir / "processes.json")
        self.logs = Logs(self._run_dir / "logs", self.commands, echo=echo)
        self.leftovers = self._groups.stop_leftovers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with stop_signals_held():
            self.stop(*(name for name in self._running if name not in FOUNDATIONS))
            self.stop(*self._running)

    def log(self, name: str) -> Path:
        return self.logs.path(name)

    def is_running(self, name: str) -> bool:
        """Return whether the service has been started and not stopped. It may have ended by itself since."""
        return name in self._running

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def start(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Start the service in a new process group, with `env` added to its environment.

        Its output goes to a new log file. The log of the previous run stays as `<name>.log.1`.
        """
        stop_signal = STOP_SIGNAL.get(name, signal.SIGTERM)
        launch = [sys.executable, "-IS", str(ROOT / "native" / "launch.py"), str(os.getpid()), str(int(stop_signal))]
        with stop_signals_held(), self.logs.open_new(name) as output:
            process = subprocess.Popen(
                [*launch, self.commands[name]],
                cwd=ROOT,
                env=self.env | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._running[name] = process
            self._groups.add(process.pid)

    def stop(self, *names: str) -> None:
        """Ask all of them to end at the same time, and kill those that are still running after STOP_TIMEOUT_S."""
        processes = {name: self._running[name] for name in names if name in self._running}
        families = {name: family(process.pid) for name, process in processes.items()}
        for name, process in processes.items():
            # Signal only the leader, which knows how to end its children and lets them finish their work.
            if process.poll() is None:
                process.send_signal(STOP_SIGNAL.get(name, signal.SIGTERM))
        poll(lambda: all(process.poll() is not None for process in processes.values()), STOP_TIMEOUT_S)
        self._end(families)

    def kill(self, name: str) -> None:
        """End the service and all its children immediately, as a crash would. Returns when no process is left."""
        self._end({name: family(self._running[name].pid)})

    def _end(self, families: Mapping[str, Set[psutil.Process]]) -> None:
        for name, members in families.items():
            process = self._running[name]
            if kill_family(process.pid, members):
                self._groups.discard(process.pid)  # otherwise the next run tries again
            process.wait()
            del self._running[name]

    def restart(self, name: str, env: Mapping[str, str] | None = None) -> None:
        self.stop(name)
        self.start(name, env)

    def dead(self) -> list[str]:
        """Return the services that have ended by themselves."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def how_it_ended(self, name: str) -> str:
        code = self._running[name].returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def died(self, name: str) -> ServiceDiedError:
        """Return an error that describes how the service ended, with its last lines."""
        return ServiceDiedError(
            f"The service {name} {self.how_it_ended(name)}. Its last lines:\n{self.logs.last_lines(name)}"
            f"The whole log: {self.log(name)}"
        )

    def check(self) -> None:
        """Raises ServiceDiedError if one of the services has ended by itself."""
        self.logs.tend()
        for name in self.dead():
            raise self.died(name)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Raises ServiceDiedError if a service ends in the meantime, and CannotRunError after the timeout."""

        def met() -> bool:
            self.check()
            return condition()

        if not poll(met, timeout_s):
            raise CannotRunError(
                f"Gave up waiting for {what} after {timeout_s:.0f} s; the logs are in {self.log('').parent}"
            )

    def wait_until_ready(self, *names: str, timeout_s: float = 60) -> None:
        for name in names:
            self.wait_until(partial(readiness.is_ready, name, self.env, self.log(name)), name, timeout_s)


@contextmanager
def prepared(
    run_dir: Path, given: Mapping[str, str], *, procfile: Path = ROOT / "Procfile", echo: bool = False
) -> Iterator[Services]:
    """Yield the services of `run_dir` without starting them. At the end, stop those that were started.

    `given` is the environment of the user. Raises CannotRunError if another process runs the services of `run_dir`.
    """
    with only_one(run_dir), Services(service_environment(run_dir, given), procfile=procfile, echo=echo) as services:
        yield services


@contextmanager
def running(
    names: Sequence[str], *, run_dir: Path, env: Mapping[str, str] | None = None, procfile: Path = ROOT / "Procfile"
) -> Iterator[Services]:
    """Run the named services of the Procfile, for tests and experiments, and yield them when they are ready.

    `env` is added to the environment of all services. Servers that DATABASE_URL, REDIS_URL, or TF_SERVING_URL name are
    not started. You can start more services on the yielded object, from the main thread. Its `env` says how to reach
    them. The data is kept.
    """
    given = os.environ | dict(env or {})
    with prepared(run_dir, given, procfile=procfile) as services:
        own = own_services(names, given)
        check_ports(own, services.env)
        for name in own:
            services.start(name)
        services.wait_until_ready(*names)
        yield services
