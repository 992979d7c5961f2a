"""A Redis with two replicas, and three Sentinels that make a replica the master when it fails."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from redis.sentinel import MasterNotFoundError, Sentinel

from native.environment import free_port
from native.process import poll
from native.redis import find_server

NAME = "vision"
PASSWORD = "p@ss word"  # noqa: S105  # of servers that live for one run. It must be quoted in a URL.
SENTINEL_PASSWORD = "another/one"  # noqa: S105
DOWN_AFTER_MS = 1000
START_TIMEOUT_S = 30

_SERVER = """\
bind 127.0.0.1
{ports}
requirepass "{password}"
masterauth "{password}"
dir "{folder}"
save ""
appendonly no
repl-diskless-sync-delay 0
loglevel warning
"""
_SENTINEL = """\
bind 127.0.0.1
{ports}
requirepass "{sentinel_password}"
dir "{folder}"
sentinel monitor {name} 127.0.0.1 {master} 2
sentinel auth-pass {name} "{password}"
sentinel down-after-milliseconds {name} {down_after_ms}
sentinel failover-timeout {name} 10000
"""


@dataclass
class RedisGroup:
    folder: Path
    tls: Mapping[str, Path] = field(default_factory=dict)
    """Redis's options for its certificate, its key, and its authority. Empty for no TLS."""
    servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    """The servers by port."""
    sentinels: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The URL in the form that REDIS_URL accepts."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.sentinels)
        scheme, more = ("sentinels", f"&ssl_ca_certs={self.tls['tls-ca-cert-file']}") if self.tls else ("sentinel", "")
        options = f"master_name={NAME}&sentinel_password=another%2Fone{more}"
        return f"{scheme}://:p%40ss%20word@{hosts}/0?{options}"

    def master(self) -> int:
        """Return the port of the server that the Sentinels call the master. Raises MasterNotFoundError without one."""
        _, port = self._client().discover_master(NAME)  # type: ignore[no-untyped-call]
        return int(port)

    def kill_master(self) -> int:
        """Kill the master as a power failure would, and return its port."""
        port = self.master()
        self.servers[port].kill()
        self.servers[port].wait()
        return port

    def hang_master(self) -> int:
        port = self.master()
        self.servers[port].send_signal(signal.SIGSTOP)
        return port

    def resume(self, port: int) -> None:
        self.servers[port].send_signal(signal.SIGCONT)

    def revive(self, port: int) -> None:
        """Restart a killed server, which the Sentinels make a replica."""
        self._start(self.servers, port, _SERVER)

    def has_failed_over(self, old: int) -> bool:
        """Return whether another server is the master."""
        try:
            return self.master() != old
        except MasterNotFoundError:
            return False

    def start(self) -> None:
        master, *replicas = (free_port() for _ in range(3))
        self._start(self.servers, master, _SERVER)
        for port in replicas:
            self._start(self.servers, port, f"{_SERVER}replicaof 127.0.0.1 {master}\n")
        for port in [free_port() for _ in range(3)]:
            self._start(self.sentinels, port, _SENTINEL, master=master)
        if not poll(self._is_complete, START_TIMEOUT_S):
            raise TimeoutError(f"The Redis group is not complete: its logs are in {self.folder}.")

    def stop(self) -> None:
        for process in (*self.sentinels.values(), *self.servers.values()):
            process.kill()
            process.wait()

    def _is_complete(self) -> bool:
        """Return whether each Sentinel knows the two others and both replicas, and both replicas have the data."""
        try:
            for sentinel in self._client().sentinels:
                (state,) = sentinel.sentinel_masters().values()  # type: ignore[union-attr]  # not a coroutine
                if (state["num-other-sentinels"], state["num-slaves"]) != (2, 2):
                    return False
            with self._connect(self.master()) as client:
                replication = client.info("replication")
        except RedisError:
            return False
        return all(replication.get(f"slave{number}", {}).get("state") == "online" for number in range(2))

    def _client(self) -> Sentinel:
        return Sentinel(  # type: ignore[no-untyped-call]
            [("127.0.0.1", port) for port in self.sentinels],
            sentinel_kwargs={"password": SENTINEL_PASSWORD, "socket_timeout": 1, **self._client_tls()},
        )

    def _connect(self, port: int) -> Redis:
        return Redis(host="127.0.0.1", port=port, password=PASSWORD, socket_timeout=1, **self._client_tls())

    def _client_tls(self) -> dict[str, Any]:
        return {"ssl": True, "ssl_ca_certs": str(self.tls["tls-ca-cert-file"])} if self.tls else {}

    def _start(self, group: dict[int, subprocess.Popen[bytes]], port: int, text: str, **values: object) -> None:
        folder = self.folder / str(port)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = folder / "redis.conf"
        ports = f"port {port}"
        if self.tls:
            files = "\n".join(f"{name} {path}" for name, path in self.tls.items())
            ports = f"port 0\ntls-port {port}\ntls-replication yes\ntls-auth-clients no\n{files}"
        file.write_text(
            text.format(
                ports=ports,
                folder=folder,
                name=NAME,
                password=PASSWORD,
                sentinel_password=SENTINEL_PASSWORD,
                down_after_ms=DOWN_AFTER_MS,
                **values,
            )
        )
        command = [find_server(), str(file), *(["--sentinel"] if group is self.sentinels else [])]
        with (folder / "log").open("ab") as log:
            group[port] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ)


@contextmanager
def redis_group(folder: Path, tls: Mapping[str, Path] | None = None) -> Iterator[RedisGroup]:
    group = RedisGroup(folder, tls or {})
    try:
        group.start()
        yield group
    finally:
        group.stop()
