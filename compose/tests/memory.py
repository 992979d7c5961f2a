#!/usr/bin/env python3
"""Posts the largest pictures that are accepted, many at a time, and shows how much memory each container takes.

memory.py FILE BASE_URL [--clients 12] [--rounds 2]     FILE: the compose file of the running services

Exits 1 if a container was restarted or a process in one was killed, if an answer is neither a label nor a refusal for
lack of room, or if a valid photo is not answered afterwards. Needs Python and Docker.
"""

import argparse
import json
import re
import struct
import subprocess
import sys
import threading
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import smoke

SIDE = 7071  # pixels; the square is 50 megapixels
FILE_BYTES = 20_000_000
PEAK = "cat /sys/fs/cgroup/memory.peak 2>/dev/null || cat /sys/fs/cgroup/memory/memory.max_usage_in_bytes"
KILLED = "cat /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control 2>/dev/null"
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def large_picture() -> bytes:
    """Return a PNG that takes the most memory to decode: 50 megapixels with transparency, as large as a file may be."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 6, 0, 0, 0)
    packer = zlib.compressobj(1)
    row = bytes(1 + 4 * SIDE)
    rows = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    padding = chunk(b"paDd", bytes(FILE_BYTES - len(rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + padding + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def containers(file: str) -> dict[str, str]:
    """Return id → name."""
    ids = docker("compose", "--file", file, "ps", "--quiet").split()
    return {each: docker("inspect", "--format", "{{slice .Name 1}}", each) for each in ids}


def lives(ids: list[str]) -> str:
    return docker("inspect", "--format", "{{.Name}} {{.RestartCount}} {{.State.StartedAt}} {{.State.OOMKilled}}", *ids)


def killed(each: str) -> int:
    """Return how many processes of a container the kernel has killed for their memory. The container keeps running."""
    found = re.search(r"^oom_kill (\d+)", docker("exec", each, "sh", "-c", f"{KILLED}; true"), re.MULTILINE)
    return int(found[1]) if found else 0


class Watch(threading.Thread):
    """Records the largest memory use that `docker stats` shows. It excludes the file cache."""

    def __init__(self, ids: list[str]) -> None:
        super().__init__(daemon=True)
        self.used: dict[str, float] = {}
        command = ["docker", "stats", "--format", "{{.Name}} {{.MemUsage}}", *ids]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def run(self) -> None:
        for line in self._process.stdout or ():
            if found := re.search(r"(\w[\w.-]+) ([\d.]+)([KMG]?i?B) /", line):
                name, amount, unit = found.groups()
                self.used[name] = max(self.used.get(name, 0), float(amount) * UNITS[unit])

    def stop(self) -> None:
        self._process.terminate()


def post(url: str, picture: bytes) -> str:
    status, body = smoke.post_photo(url, photo=picture)
    return f"{status} {body.get('code', '')}".strip() if isinstance(body, dict) else str(status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("base_url")
    parser.add_argument("--clients", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    names = containers(arguments.file)
    before = lives(list(names))
    killed_before = {each: killed(each) for each in names}
    watch = Watch(list(names))
    watch.start()
    picture = large_picture()
    smoke.TIMEOUT_S = 300
    v0, v1 = (f"{arguments.base_url.rstrip('/')}/api/{version}/inferences/" for version in ("v0", "v1"))
    found: Counter[str] = Counter()
    for url in (v0, v1):
        with ThreadPoolExecutor(arguments.clients) as pool:
            answers = list(pool.map(lambda _, to=url: post(to, picture), range(arguments.clients * arguments.rounds)))
        print(url, dict(Counter(answers)))
        found.update(answers)
    status, row = smoke.post_photo(v1)
    smoke.expect("v1 accepts", status, 201)
    smoke.wait_for(v1, [row["id"]])  # after the large ones, because the queue is in order
    watch.stop()
    for each, name in names.items():
        peak = int(docker("exec", each, "sh", "-c", PEAK))
        limit = int(docker("inspect", "--format", "{{.HostConfig.Memory}}", each))
        used = watch.used.get(name, 0) / 2**20
        print(f"{name:55} used {used:6.0f}  with files {peak / 2**20:6.0f}  of {limit >> 20:5} MiB")
    for each, name in names.items():
        smoke.expect(f"processes of {name} that were killed for their memory", killed(each) - killed_before[each], 0)
    smoke.expect("no container was restarted", lives(list(names)), before)
    smoke.expect("v0 answers", smoke.post_photo(v0), (200, {"label": smoke.LABEL}))
    refusals = {answer for answer in found if not answer.startswith(("200", "201", "503"))}
    smoke.expect("answers other than labels and refusals", json.dumps(sorted(refusals)), "[]")
    if not {"200", "201"} & {answer.split()[0] for answer in found}:
        sys.exit("FAILED: no large picture was accepted")


if __name__ == "__main__":
    main()
