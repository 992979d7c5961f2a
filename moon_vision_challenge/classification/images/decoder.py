"""A process that decodes images one by one, within limits that the kernel enforces.

It reads requests from standard input: one line of JSON, then the bytes of the image. To standard output it writes one
line of JSON, then the pixels: RGB, row by row.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pillow_heif
from PIL import AvifImagePlugin, Image

from moon_vision_challenge.classification.exceptions import InvalidImageError
from moon_vision_challenge.classification.images import pixels
from moon_vision_challenge.classification.images.decoder_pool import OUT_OF_MEMORY, band_rows


def main() -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the parent. This process ends when its pipe closes.
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # libraries print warnings about damaged files
        os.dup2(nothing, stream)
    _prepare_libraries()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _offer_to_the_oom_killer()
    try:
        while line := requests.readline():
            request = json.loads(line)
            _answer(request, requests.read(request.pop("size")), answers)
            answers.flush()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _prepare_libraries() -> None:
    """Configure one thread per library: more would count against the CPU time limit and take address space."""
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.options.THUMBNAILS = False
    pixels.PLUGINS["HEIC"] = pillow_heif.HeifImageFile


def _answer(request: dict[str, Any], data: bytes, answers: BinaryIO) -> None:
    wants_pixels = request.pop("wants_pixels")
    with _limits(cpu_s=request.pop("cpu_s"), memory_bytes=request.pop("memory_bytes")):
        try:
            image = pixels.decode(data, pixels.Request(**request))
        except InvalidImageError as error:
            _tell(answers, error=type(error).__name__, text=str(error), detail=error.detail)
            return
        _tell(answers, width=image.width, height=image.height)
        if wants_pixels:
            _write_pixels(image, answers)


def _tell(answers: BinaryIO, **message: Any) -> None:
    answers.write(json.dumps(message).encode() + b"\n")


def _write_pixels(image: Image.Image, answers: BinaryIO) -> None:
    rows = band_rows(image.width)
    for top in range(0, image.height, rows):
        answers.write(image.crop((0, top, image.width, min(top + rows, image.height))).tobytes())


@contextmanager
def _limits(*, cpu_s: float, memory_bytes: int) -> Iterator[None]:
    """Limit the cost of one image. The kernel ends the process (SIGPROF) or refuses it memory (MemoryError).

    RLIMIT_CPU would count from the start of the process, on a clock that getrusage does not show: the two clocks drift
    apart.
    """
    inherited = resource.getrlimit(resource.RLIMIT_AS)
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    if sys.platform == "linux":
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes, inherited[1]))
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    resource.setrlimit(resource.RLIMIT_AS, inherited)


def _offer_to_the_oom_killer() -> None:
    """Make the kernel end this process first if the container runs out of memory."""
    with suppress(OSError):  # another system, or a read-only /proc
        Path("/proc/self/oom_score_adj").write_text("1000")
