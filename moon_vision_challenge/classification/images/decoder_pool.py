"""The processes that decode expensive or risky images. They start on first use."""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO, Any, NamedTuple, cast

from django.conf import settings
from PIL import Image

from moon_vision_challenge.classification import exceptions
from moon_vision_challenge.classification.exceptions import (
    ClassificationError,
    DamagedImageError,
    DecoderBusyError,
    ImageTooExpensiveError,
    InvalidImageError,
)
from moon_vision_challenge.classification.images.pixels import Request
from moon_vision_challenge.classification.images.structure import Parts
from moon_vision_challenge.waiting_threads import waiting

OUT_OF_MEMORY = 12
"""The exit status of a process that runs out of memory."""

BAND_PIXELS = 1_000_000
"""The number of pixels that are written and read at a time."""

_PROGRAM = "from moon_vision_challenge.classification.images.decoder import main; main()"

_SLACK = 1.5
"""The estimate decides whether an image is decoded. The kernel's limits catch what the estimate missed."""
_SLACK_BYTES = 64 * 1024 * 1024
_COPIES = 4
"""How many times libraries copy the file."""
_SLOW_MACHINE = 3
_SLACK_S = 1.5
"""The time an image may take beyond its estimate, on a machine that is slower than the one in docs/images.md."""
_WALL_FACTOR = 10
"""How many times the CPU time limit a decode may last, on a machine that is busy with other work."""


def band_rows(width: int) -> int:
    return max(1, BAND_PIXELS // width)


class Cost(NamedTuple):
    """The expected cost of decoding, estimated from the structure of the file."""

    cpu_s: float
    memory_bytes: int


def cpu_limit_s(cost: Cost) -> float:
    """Return the CPU time after which the kernel ends a decode."""
    return float(min(settings.INFERENCE_MAX_DECODE_CPU_S * _SLACK, cost.cpu_s * _SLOW_MACHINE + _SLACK_S))


class DecoderPool:
    """A pool of up to INFERENCE_DECODER_PROCESSES decoders, shared by the threads of one process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget the decoders in a forked process: they belong to its parent."""
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._places: threading.Semaphore | None = None

    def decode(self, parts: Parts, request: Request, cost: Cost) -> Image.Image:
        """Decode as `pixels.decode` does, in another process.

        Raises:
            InvalidImageError: the image cannot be decoded, or not within the limits of CPU time and memory.
            DecoderBusyError: no decoder became free within INFERENCE_DECODE_WAIT_S, or the kernel killed the
                decoder because memory was short.
        """
        image = self._ask(parts, {**request._asdict(), "wants_pixels": True}, cost)
        assert image is not None  # noqa: S101  # the request asks for pixels
        return image

    def check(self, parts: Parts, request: Request, cost: Cost) -> None:
        """Decode without returning the pixels. Raises as `decode` does."""
        self._ask(parts, {**request._asdict(), "wants_pixels": False}, cost)

    def close(self) -> None:
        """End the idle decoders."""
        with self._lock:
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.close()

    def process_ids(self) -> list[int]:
        """Return the process ids of the idle decoders."""
        with self._lock:
            return [decoder.process_id for decoder in self._idle]

    def _ask(self, parts: Parts, request: dict[str, Any], cost: Cost) -> Image.Image | None:
        places = self._find_places()
        with waiting():
            if not places.acquire(timeout=settings.INFERENCE_DECODE_WAIT_S):
                raise DecoderBusyError("all decoder processes are busy")
            try:
                decoder = self._take()
                try:
                    return decoder.ask(parts, request, cost)
                finally:
                    self._put_back(decoder)
            finally:
                places.release()

    def _find_places(self) -> threading.Semaphore:
        with self._lock:
            if self._places is None:
                self._places = threading.BoundedSemaphore(settings.INFERENCE_DECODER_PROCESSES)
            return self._places

    def _take(self) -> "_Decoder":
        with self._lock:
            while self._idle:
                decoder = self._idle.pop()
                if decoder.is_usable:
                    return decoder
                decoder.close()
        return _Decoder()

    def _put_back(self, decoder: "_Decoder") -> None:
        if not decoder.is_usable:
            decoder.close()
            return
        with self._lock:
            self._idle.append(decoder)


class _Decoder:
    def __init__(self) -> None:
        # The same packages, but none of the secrets in the service's environment.
        environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        self._is_between_images = True
        self._is_late = False

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        return self._is_between_images and self._process.poll() is None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with suppress(BrokenPipeError):  # closing flushes bytes that were not sent
                pipe.close()

    def ask(self, parts: Parts, request: dict[str, Any], cost: Cost) -> Image.Image | None:
        most_s = settings.INFERENCE_MAX_DECODE_CPU_S * _SLACK
        cpu_s = cpu_limit_s(cost)
        size = sum(map(len, parts))
        request |= {
            "size": size,
            "cpu_s": cpu_s,
            "memory_bytes": int(cost.memory_bytes * _SLACK) + _SLACK_BYTES + _COPIES * size,
        }
        self._is_between_images = False
        watchdog = threading.Timer(most_s * _WALL_FACTOR, self._end_late)
        watchdog.start()
        try:
            image = self._exchange(parts, request)
        except (EOFError, BrokenPipeError) as error:
            raise self._why_it_died(cpu_s) from error
        finally:
            watchdog.cancel()
        self._is_between_images = True
        if isinstance(image, InvalidImageError):
            raise image
        return image

    def _end_late(self) -> None:
        self._is_late = True
        self._process.kill()

    def _exchange(self, parts: Parts, request: dict[str, Any]) -> Image.Image | InvalidImageError | None:
        self._requests.write(json.dumps(request).encode() + b"\n")
        for part in parts:
            self._requests.write(part)
        self._requests.flush()
        answer = json.loads(self._read_line())
        if "error" in answer:
            return _error(**answer)
        return self._read_pixels(answer["width"], answer["height"]) if request["wants_pixels"] else None

    def _read_line(self) -> bytes:
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return line

    def _read_pixels(self, width: int, height: int) -> Image.Image:
        image = Image.new("RGB", (width, height))
        rows = band_rows(width)
        for top in range(0, height, rows):
            size = (width, min(rows, height - top))
            data = self._answers.read(size[0] * size[1] * 3)
            if len(data) < size[0] * size[1] * 3:
                raise EOFError
            image.paste(Image.frombuffer("RGB", size, data, "raw", "RGB", 0, 1), (0, top))
        return image

    def _why_it_died(self, cpu_limit_s: float) -> ClassificationError:
        self._process.kill()
        code = self._process.wait()
        if code == -signal.SIGPROF or self._is_late:
            return too_much_time(f"the decoder was ended by signal {-code}", cpu_limit_s)
        if code == -signal.SIGKILL:  # the image was within its limits, so others have used up the container's memory
            return DecoderBusyError("the decoder was killed, as the kernel does when memory is short")
        if code == OUT_OF_MEMORY:
            return too_much_memory("the decoder had no more memory")
        return DamagedImageError(f"the decoder ended with {code}")


def too_much_time(log_text: str, limit_s: float) -> ImageTooExpensiveError:
    return ImageTooExpensiveError(
        log_text,
        detail=f"This image takes too much time to decode. At most {limit_s:g} s of CPU time are spent on one "
        "(INFERENCE_MAX_DECODE_CPU_S). Send a smaller image, or ask the operator to raise the limit.",
    )


def too_much_memory(log_text: str) -> ImageTooExpensiveError:
    limit = settings.INFERENCE_MAX_DECODE_BYTES
    return ImageTooExpensiveError(
        log_text,
        detail=f"This image takes too much memory to decode. At most {limit:,} bytes are spent on one "
        "(INFERENCE_MAX_DECODE_BYTES). Send a smaller image, or ask the operator to raise the limit.",
    )


def _error(error: str, text: str, detail: str) -> InvalidImageError:
    kind: type[InvalidImageError] = getattr(exceptions, error)
    return kind(text, detail=detail)


decoders = DecoderPool()
"""The pool of this process."""

os.register_at_fork(after_in_child=decoders.forget)
atexit.register(decoders.close)
