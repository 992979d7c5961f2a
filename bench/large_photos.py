"""Measures the cost of a request to v0 with a phone's photo, compared with the usual one."""

import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from . import load, running_services
from .photo import large_photos, photo
from .table import table
from .v0 import PATH

SAMPLED_S = 0.02


def measure(*, rounds: int = 5, seconds: float = 5, clients: int = 4) -> dict[str, tuple[float, float]]:
    """Measure v0 with a null model server. Prints the table, and returns the CPU ms and peak memory of each photo."""
    photos = {"0.2 MP": photo(), **large_photos()}
    with (
        running_services.null_model_server() as model_url,
        running_services.service("web", env={"TF_SERVING_URL": f"{model_url}/v2"}) as own,
    ):
        url, web = f"http://127.0.0.1:{own.env['WEB_PORT']}", own.pid("web")

        def run(image: bytes) -> load.Load:
            request = running_services.photo_request(url, PATH, image)
            return load.post(url, request, clients=clients, seconds=seconds, services={"web": web}, check=load.is_label)

        peaks, loads = {}, {name: list[load.Load]() for name in photos}
        for name, image in photos.items():  # in order of size, because freed memory may stay with the process
            with peak_mb(web) as peak:
                run(image)
            peaks[name] = peak[0]
        for _ in range(rounds):
            for name, image in photos.items():
                loads[name].append(run(image))
    cpu_ms = {name: statistics.median(each.cpu_ms["web"] for each in found) for name, found in loads.items()}
    rows = [
        [
            name,
            f"{len(photos[name]) / 1e6:.2f}",
            f"{cpu_ms[name]:.1f}",
            f"{statistics.median(each.rate for each in loads[name]):.0f}",
            f"{peaks[name]:.0f}",
        ]
        for name in photos
    ]
    print(f"\nv0, null model server, {clients} clients, {rounds} rounds of {seconds:g} s in turns, medians")
    print(table(["photo", "MB", "CPU ms", "requests/s", "memory of web at its peak, MB"], rows))
    return {name: (cpu_ms[name], peaks[name]) for name in photos}


@contextmanager
def peak_mb(pid: int) -> Iterator[list[float]]:
    """Yield a list whose only item grows to the largest resident memory of the process and its descendants, in MB."""
    peak, ended = [0.0], threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLED_S):
            peak[0] = max(peak[0], sum(map(_resident, load.tree(pid))) / 1e6)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield peak
    finally:
        ended.set()
        sampler.join()


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:  # a decoder process has ended
        return 0
