"""The environment of the services: where they store their data, their ports, and their passwords."""

import errno
import itertools
import json
import os
import random
import re
import secrets
import shlex
import socket
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .addresses import allowed_hosts, family

ROOT = Path(__file__).resolve().parent.parent
RUN_DIR = ROOT / ".run"
SETTINGS = ROOT / "config" / "settings"

# If the user names a server, the runner uses it and does not start its own.
REPLACED_BY = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "model_server": "TF_SERVING_URL"}
# Ports that people open are fixed. The others (None) get a free port in each run.
PORTS = {
    "postgres": ("POSTGRES_PORT", None),
    "redis": ("REDIS_PORT", None),
    "model_server": ("MODEL_SERVER_PORT", None),
    "web": ("WEB_PORT", 8000),
    "flower": ("FLOWER_PORT", 5555),
    "metrics": ("METRICS_PORT", 9000),
}
FREE_PORTS = range(20_000, 30_000)


# Not the whole checkout: every line in a log would restart the web server.
RELOAD = "--reload --reload-paths=config --reload-paths=moon_vision_challenge"


class CannotRunError(Exception):
    """An error whose message says what is wrong and what the user can do."""


def own_services(names: Iterable[str], given: Mapping[str, str]) -> list[str]:
    """Return the services of `names` that no server in the environment `given` replaces."""
    return [name for name in names if name not in REPLACED_BY or not given.get(REPLACED_BY[name])]


def is_debug(given: Mapping[str, str]) -> bool:
    """Return whether DEBUG=1 (for `make`) or DJANGO_DEBUG=1 is set."""
    return given.get("DJANGO_DEBUG", given.get("DEBUG", "")) not in {"", "0"}


def service_environment(run_dir: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of services with their data in `run_dir`. Values in `given` override the defaults.

    Creates the passwords on first use and chooses free ports. Writes `run_dir`/env, which a shell can read.
    Raises CannotRunError for an invalid port.
    """
    (run_dir / "media").mkdir(parents=True, exist_ok=True)
    _check_loopback()
    passwords = _passwords(run_dir / "secrets.json")
    ports = _ports(given)
    ours = {
        "RUN_DIR": str(run_dir),
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "DJANGO_SECRET_KEY": passwords["django"],
        "DJANGO_DEBUG": "1" if is_debug(given) else "0",
        "DJANGO_MEDIA_ROOT": str(run_dir / "media"),
        "METRICS_DIR": str(run_dir / "metrics"),
        "DJANGO_API_ALLOW_ANONYMOUS": "1",
        "DATABASE_URL": f"postgres://moon_vision:{passwords['postgres']}@127.0.0.1:{ports['POSTGRES_PORT']}/moon_vision",
        "REDIS_URL": f"redis://:{passwords['redis']}@127.0.0.1:{ports['REDIS_PORT']}/0",
        "TF_SERVING_URL": f"http://127.0.0.1:{ports['MODEL_SERVER_PORT']}/v2",
        "FLOWER_BASIC_AUTH": f"admin:{passwords['flower']}",
        "FLOWER_URL": f"http://127.0.0.1:{ports['FLOWER_PORT']}/",
        "METRICS_URL": f"http://127.0.0.1:{ports['METRICS_PORT']}/metrics",
        "WEB_HOST": "127.0.0.1",
        "ORT_DISABLE_TELEMETRY": "1",  # or onnxruntime reports its use to Microsoft, and keeps an identity in ~/.cache
        "WEB_RELOAD": RELOAD if is_debug(given) else "",
        **ports,
    }
    ours |= {name: given[name] for name in ours if given.get(name)}
    ours["DJANGO_ALLOWED_HOSTS"] = allowed_hosts(ours["WEB_HOST"], given.get("DJANGO_ALLOWED_HOSTS", ""))
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted({**_settings(given), **ours}.items())]
    _write_private(run_dir / "env", "".join(lines))
    python = {
        "PATH": f"{Path(sys.executable).parent}:{given.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        # By default, glibc returns image-sized buffers to the kernel at once and then pays for new pages. Those of very
        # large images, which Pillow allocates in blocks of 16 MB, must not stay with every thread.
        "MALLOC_MMAP_THRESHOLD_": "8388608",
        "MALLOC_TRIM_THRESHOLD_": "134217728",
    }
    if os.geteuid() == 0:
        # The message about PostgreSQL's own account already warns a user who runs everything as root.
        python["PYTHONWARNINGS"] = "ignore:You're running the worker with superuser privileges"
    return {**given, **ours, **python}


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return the user's variables that change what a Django command does."""
    read = {name for file in SETTINGS.glob("*.py") for name in re.findall(r'env\.\w+\(\s*"(\w+)"', file.read_text())}
    return {name: value for name, value in given.items() if name in read | {"PYTHONPATH"} or name.startswith("AWS_")}


def _check_loopback() -> None:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as error:
            raise CannotRunError(
                f"The services talk to each other on 127.0.0.1, which this machine does not have ({error.strerror}): "
                "bring up its IPv4 loopback interface (`ip link set lo up`, `ip address add 127.0.0.1/8 dev lo`)."
            ) from error


def check_ports(services: Iterable[str], env: Mapping[str, str]) -> None:
    """Raises CannotRunError if one of the services could not listen on its port."""
    for service in services:
        if service not in PORTS:
            continue
        variable = PORTS[service][0]
        host = env["WEB_HOST"] if service == "web" else "127.0.0.1"
        try:
            with socket.socket(family(host)) as probe:
                # As servers do, so that a lingering connection of the last run does not make the port count as taken.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, int(env[variable])))
        except socket.gaierror as error:
            raise CannotRunError(f"WEB_HOST is {host!r}: {error.strerror}. Use an address of this machine.") from error
        except OSError as error:
            why = "in use by another program" if error.errno == errno.EADDRINUSE else f"not usable ({error.strerror})"
            raise CannotRunError(
                f"Port {env[variable]} on {host}, meant for {service}, is {why}: "
                f"choose another with {variable}=..., as in `make run {variable}={int(env[variable]) % 65535 + 1}`."
            ) from error


def shuffled(ports: Sequence[int]) -> Iterator[int]:
    """Repeat all ports endlessly, in a random order."""
    return itertools.cycle(random.sample(ports, len(ports)))


port_candidates = shuffled(FREE_PORTS)


def free_public_ports() -> dict[str, str]:
    """Return free values for the variables of the fixed ports, because another run may use the usual ones."""
    return {variable: str(free_port()) for variable, port in PORTS.values() if port}


def free_port(besides: Collection[str] = ()) -> int:
    """Return a free port for a server on 127.0.0.1, except those in `besides`.

    The kernel does not use this range for outgoing connections, so the port is still free when the server restarts.
    A process does not choose the same port twice, because the server for that port may not have started yet.
    """
    for port in itertools.islice(port_candidates, 100):
        if str(port) in besides:
            continue
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise CannotRunError(f"Found no free port from {FREE_PORTS.start} to {FREE_PORTS.stop - 1}.")


def _ports(given: Mapping[str, str]) -> dict[str, str]:
    ports: dict[str, str] = {}
    for variable, default in PORTS.values():
        port = given.get(variable) or str(default or free_port(besides=ports.values()))
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise CannotRunError(f"{variable} is {port!r}: a port is a number from 1 to 65535.")
        ports[variable] = port
    return ports


def _passwords(path: Path) -> dict[str, str]:
    passwords: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in ("postgres", "redis", "django", "flower") if name not in passwords]
    if missing:
        passwords |= {name: secrets.token_urlsafe(36) for name in missing}
        _write_private(path, json.dumps(passwords))
    return passwords


def _write_private(path: Path, text: str) -> None:
    """Write the file atomically. No other user can read it at any time."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - takes a mode
        file.write(os.fsencode(text))  # as in the environment itself: values may not be text in this locale
    new.rename(path)
