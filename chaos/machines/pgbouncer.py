"""PgBouncer in transaction mode in front of PostgreSQL, with fewer sessions than it has clients."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import psycopg2

from native.environment import free_port
from native.postgres import UNPRIVILEGED_ACCOUNTS
from native.process import poll

SESSIONS = 3
START_TIMEOUT_S = 30

_CONFIGURATION = """\
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 500
query_wait_timeout = 60
"""


def find_pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


@contextmanager
def pgbouncer(database_url: str, *, sessions: int = SESSIONS) -> Iterator[str]:
    """Yield the URL of PgBouncer, which shares this many sessions of the server among all clients."""
    program = find_pgbouncer()
    if program is None:
        raise FileNotFoundError("pgbouncer is not on the PATH. Install it: apt install pgbouncer")
    url, port = urlsplit(database_url), free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [program, str(_configure(Path(folder), url, port, sessions))]
        if os.geteuid() == 0:  # it refuses to run as root
            account = next(each for each in pwd.getpwall() if each.pw_name in UNPRIVILEGED_ACCOUNTS)
            shutil.chown(folder, account.pw_uid)
            for file in Path(folder).iterdir():
                shutil.chown(file, account.pw_uid)
            command += ["--user", account.pw_name]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        through = url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{port}").geturl()
        try:
            if not poll(lambda: _answers(through), START_TIMEOUT_S):
                raise TimeoutError(f"PgBouncer does not answer: {Path(folder, 'log').read_text()}")
            yield through
        finally:
            process.terminate()
            process.wait()


def _configure(folder: Path, url: SplitResult, port: int, sessions: int) -> Path:
    users = folder / "users.txt"
    users.write_text(f'"{url.username}" "{url.password}"\n')
    file = folder / "pgbouncer.ini"
    text = _CONFIGURATION.format(host=url.hostname, port=url.port, listen_port=port, users=users, sessions=sessions)
    file.write_text(text)
    return file


def _answers(url: str) -> bool:
    try:
        psycopg2.connect(url, connect_timeout=5).close()
    except psycopg2.OperationalError:
        return False
    return True
