"""Runs the services, with something in front of each neighbour that can make it fail."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from chaos.outages.name_server import NameServer, asking_it, with_name
from chaos.outages.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, s3_server
from chaos.proxy import Proxy
from native import postgres
from native.environment import ROOT, RUN_DIR, free_port
from native.services import Services, prepared

RUN = RUN_DIR / "outages"
CLIENTS = ("web", "worker", "beat")
URLS = {"postgres": "DATABASE_URL", "redis": "REDIS_URL", "model_server": "TF_SERVING_URL"}
DISK_BYTES = 512 * 1024 * 1024  # for the images of all cells
DATABASE_BYTES = 256 * 1024 * 1024
S3_BYTES = 128 * 1024 * 1024
ENVIRONMENT = {
    "API_ANON_RATE": "1000000/s",
    "MEDIA_MIN_FREE_BYTES": "131072",
    "INFERENCE_SWEEP_S": "5",
    "POSTGRES_OPTIONS": "--max_wal_size=64MB --min_wal_size=32MB",
}


@dataclass
class Disk:
    """A small file system in memory that can be full or read-only. Only root can mount one."""

    folder: Path
    size: int

    def fill(self) -> None:
        with (self.folder / "filler").open("wb") as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
                    file.flush()
            except OSError:
                pass  # it is full

    def leave(self, size: int) -> None:
        """Fill the disk, but leave `size` bytes free."""
        self.fill()
        os.truncate(self.folder / "filler", (self.folder / "filler").stat().st_size - size)

    def empty(self) -> None:
        (self.folder / "filler").unlink()

    def remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.folder)], check=True)


@dataclass
class Stage:
    services: Services
    env: dict[str, str]
    """The variables that the clients of the neighbours get in addition to the services' own environment."""
    proxies: dict[str, Proxy] = field(default_factory=dict)
    disks: dict[str, Disk] = field(default_factory=dict)
    name_server: NameServer | None = None
    s3: S3Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.services.env['WEB_PORT']}"


def may_mount() -> bool:
    """Return whether root runs this, and not in a container that forbids mounts."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[Disk | None]:
    """Mount a disk. Yields None where this is not allowed, as in many containers."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield Disk(folder, size)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def staged(*, on_s3: bool) -> Iterator[Stage]:
    """Run the services with uploads in a folder or on S3. With S3, the neighbours also have names if root runs this."""
    own = dict.fromkeys(URLS.values(), "") | {"WEB_PORT": str(free_port()), "FLOWER_PORT": str(free_port())}
    with ExitStack() as stack:
        services = stack.enter_context(prepared(RUN, {**os.environ, **own}))
        stage = Stage(services, dict(ENVIRONMENT))
        _start_neighbours(stage, stack)
        if on_s3:
            _store_on_s3(stage, stack)
            if may_mount():
                _name_the_neighbours(stage, stack)
        else:
            _store_on_disk(stage, stack)
        for name in CLIENTS:
            services.start(name, stage.env)
        services.wait_until_ready(*CLIENTS)
        yield stage


def _start_neighbours(stage: Stage, stack: ExitStack) -> None:
    services = stage.services
    disk = stack.enter_context(mounted(postgres.folder(RUN), DATABASE_BYTES)) if may_mount() else None
    if disk:
        stage.disks["postgres"] = disk
    stack.enter_context(services)  # the services end before the disk does
    for name in URLS:
        services.start(name, stage.env)
    services.wait_until_ready(*URLS)
    for command in (["migrate", "-v0"], ["flush", "--no-input", "-v0"]):  # the files of earlier rows no longer exist
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=services.env, check=True)
    for name, variable in URLS.items():
        port = urlsplit(services.env[variable]).port or 0
        stage.proxies[name] = proxy = stack.enter_context(Proxy("127.0.0.1", port))
        stage.env[variable] = services.env[variable].replace(f":{port}", f":{proxy.port}")


def _store_on_disk(stage: Stage, stack: ExitStack) -> None:
    disk = stack.enter_context(mounted(RUN / "disk", DISK_BYTES))
    if disk:
        stage.disks["media"] = disk
    stage.env["DJANGO_MEDIA_ROOT"] = str(RUN / "disk")


def _store_on_s3(stage: Stage, stack: ExitStack) -> None:
    shutil.rmtree(RUN / "s3", ignore_errors=True)
    disk = stack.enter_context(mounted(RUN / "s3", S3_BYTES))
    if disk:
        stage.disks["s3"] = disk
    server = stack.enter_context(s3_server(RUN / "s3"))
    stage.s3 = server
    stage.proxies["s3"] = proxy = stack.enter_context(Proxy("127.0.0.1", server.port))
    stage.env |= {
        "DJANGO_MEDIA_BACKEND": "s3",
        "DJANGO_MEDIA_S3_BUCKET": BUCKET,
        "DJANGO_MEDIA_S3_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }


def _name_the_neighbours(stage: Stage, stack: ExitStack) -> None:
    stage.name_server = stack.enter_context(NameServer())
    for name, variable in {**URLS, "s3": "DJANGO_MEDIA_S3_ENDPOINT_URL"}.items():
        stage.env[variable] = with_name(stage.env, variable, name.replace("_", "-"))
    for name in CLIENTS:
        stage.services.commands[name] = asking_it(stage.services.commands[name], RUN)
