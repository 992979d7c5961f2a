"""The decoder processes, and the memory that images may use."""

import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from django.conf import settings as django_settings
from pytest_django import Settings

from chaos.corpus import jpeg, tiff
from chaos.corpus.case import encode, photo
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.exceptions import (
    DamagedImageError,
    DecoderBusyError,
    ImageTooExpensiveError,
    TruncatedImageError,
)
from moon_vision_challenge.classification.images.budget import MemoryBudget
from moon_vision_challenge.classification.images.decoder_pool import Cost, DecoderPool
from moon_vision_challenge.classification.images.pixels import Request
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for

REQUEST = Request("TIFF", 320 * 240, 1, None)
TIFF = encode(photo(), "TIFF")
SLOW = jpeg.empty_scans(3000, 4000, 3000)
"""An image that takes seconds: each scan walks over all blocks."""
SLOW_REQUEST = Request("JPEG", 4000 * 3000, 1, None)
COST = Cost(cpu_s=3.0, memory_bytes=200_000_000)


@pytest.fixture
def pool() -> Iterator[DecoderPool]:
    pool = DecoderPool()
    yield pool
    pool.close()


def pid(pool: DecoderPool) -> int:
    return pool.process_ids()[0]


def decode(pool: DecoderPool, data: bytes = TIFF, request: Request = REQUEST, cost: Cost = COST) -> bytes:
    return pool.decode((data,), request, cost).tobytes()


def test_a_decoder_starts_when_it_is_needed_and_serves_again(pool: DecoderPool) -> None:
    assert pool.process_ids() == []
    assert decode(pool) == photo().tobytes()
    first = pid(pool)
    assert decode(pool) == photo().tobytes()
    assert pid(pool) == first


def test_an_image_that_cannot_be_decoded_does_not_cost_the_process(pool: DecoderPool) -> None:
    decode(pool)
    first = pid(pool)
    with pytest.raises(DamagedImageError):
        decode(pool, b"II*\0" + bytes(100))
    assert decode(pool) == photo().tobytes()
    assert pid(pool) == first


def test_too_much_cpu_time_costs_one_image(pool: DecoderPool, settings: Settings) -> None:
    settings.INFERENCE_MAX_DECODE_CPU_S = 0.1
    with pytest.raises(ImageTooExpensiveError, match="signal") as caught:
        decode(pool, SLOW, SLOW_REQUEST)
    assert "INFERENCE_MAX_DECODE_CPU_S" in caught.value.detail
    settings.INFERENCE_MAX_DECODE_CPU_S = 3.0
    assert decode(pool) == photo().tobytes()


def test_an_image_that_should_be_cheap_gets_little_cpu_time(pool: DecoderPool, settings: Settings) -> None:
    settings.INFERENCE_MAX_DECODE_CPU_S = 60.0
    with pytest.raises(ImageTooExpensiveError, match="signal"):
        decode(pool, SLOW, SLOW_REQUEST, COST._replace(cpu_s=0.01))
    assert decode(pool) == photo().tobytes()


def test_the_cpu_time_of_earlier_images_is_not_charged(pool: DecoderPool) -> None:
    half_a_second = jpeg.empty_scans(150, 4000, 3000)
    for _ in range(6):
        decode(pool, half_a_second, SLOW_REQUEST, COST._replace(cpu_s=0.1))
    assert len(pool.process_ids()) == 1


def test_an_idle_decoder_has_no_limits(pool: DecoderPool) -> None:
    decode(pool)
    decoder = psutil.Process(pid(pool))
    wait_for(lambda: decoder.rlimit(psutil.RLIMIT_AS)[0] == psutil.RLIM_INFINITY, "the decoder to lift its limit")


def test_too_much_memory_costs_one_image(pool: DecoderPool) -> None:
    data = tiff.strips(10_000, 10_000, pixels=zlib.compress(bytes(100_000_000)), compression=8)
    with pytest.raises(ImageTooExpensiveError) as caught:
        decode(pool, data, Request("TIFF", 100_000_000, 1, None), COST._replace(memory_bytes=0))
    assert "INFERENCE_MAX_DECODE_BYTES" in caught.value.detail
    assert decode(pool) == photo().tobytes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_decoder_that_dies_while_it_is_idle_costs_nothing(pool: DecoderPool, number: signal.Signals) -> None:
    decode(pool)
    os.kill(pid(pool), number)
    os.waitid(os.P_PID, pid(pool), os.WEXITED | os.WNOWAIT)
    assert decode(pool) == photo().tobytes()


def test_a_decoder_that_is_killed_at_work_may_decode_its_image_later(pool: DecoderPool) -> None:
    """When a container is out of memory, the kernel kills it. The limits of an image stop one that takes too much."""
    decode(pool)
    victim = psutil.Process(pid(pool))
    used_s = victim.cpu_times().user
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(decode, pool, SLOW, SLOW_REQUEST)
        wait_for(lambda: victim.cpu_times().user > used_s + 0.2, "the decoder to be at work")
        victim.kill()
        assert isinstance(slow.exception(), DecoderBusyError)
    assert decode(pool) == photo().tobytes()


def test_threads_share_the_decoders(pool: DecoderPool) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: decode(pool), range(12)))
    assert set(found) == {photo().tobytes()}
    assert len(pool.process_ids()) == django_settings.INFERENCE_DECODER_PROCESSES


def test_a_request_without_a_free_decoder_is_told_to_retry(pool: DecoderPool, settings: Settings) -> None:
    decode(pool)
    decoder = psutil.Process(pid(pool))
    with ThreadPoolExecutor(1) as threads:
        decoder.suspend()
        slow = threads.submit(decode, pool)
        wait_for(lambda: not pool.process_ids(), "the decoder to be taken")
        settings.INFERENCE_DECODE_WAIT_S = 0.1
        with pytest.raises(DecoderBusyError):
            decode(pool)
        decoder.resume()
        assert slow.result(LIMIT_S) == photo().tobytes()
    assert decode(pool) == photo().tobytes()


@pytest.mark.e2e
def test_a_forked_process_starts_separate_decoders() -> None:
    program = """
import os, sys
import django
django.setup()
from chaos.corpus.case import encode, photo
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.images.decoder_pool import decoders
tiff = encode(photo(), "TIFF")
assert images.open_image(tiff).decode().size == (320, 240)
mine = decoders.process_ids()
if child := os.fork():
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert images.open_image(tiff).decode().size == (320, 240)
    assert decoders.process_ids() == mine
else:
    assert decoders.process_ids() == []
    assert images.open_image(tiff).decode().size == (320, 240)
    assert decoders.process_ids() != mine
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=600)


@pytest.mark.e2e
def test_a_decoder_ends_with_its_parent() -> None:
    program = """
import os, signal
import django
django.setup()
from chaos.corpus.case import encode, photo
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.images.decoder_pool import decoders
images.open_image(encode(photo(), "TIFF")).decode()
print(decoders.process_ids()[0], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    output = subprocess.run([sys.executable, "-c", program], check=False, timeout=600, capture_output=True, text=True)
    decoder = Path(f"/proc/{output.stdout.strip()}")

    def has_ended() -> bool:
        return not decoder.exists() or b"decoder" not in (decoder / "cmdline").read_bytes()

    wait_for(has_ended, "the decoder to end")


def test_an_image_waits_until_others_have_freed_memory(settings: Settings) -> None:
    settings.INFERENCE_DECODE_MEMORY_BYTES = 100
    budget = MemoryBudget()
    with ThreadPoolExecutor(1) as threads:
        with budget.reserve(60):
            waiting = threads.submit(budget.take, 60)
            assert not waiting.done()
        waiting.result(LIMIT_S)
    assert budget.taken == 60


def test_a_wait_for_memory_ends(settings: Settings) -> None:
    settings.INFERENCE_DECODE_MEMORY_BYTES, settings.INFERENCE_DECODE_WAIT_S = 100, 0.05
    budget = MemoryBudget()
    with budget.reserve(60), pytest.raises(DecoderBusyError), budget.reserve(60):
        pass
    assert budget.taken == 0


def test_an_image_that_needs_more_than_all_is_decoded_alone(settings: Settings) -> None:
    settings.INFERENCE_DECODE_MEMORY_BYTES = 100
    budget = MemoryBudget()
    with budget.reserve(1000):
        assert budget.taken == 1000
    assert budget.taken == 0


def test_memory_is_freed_after_success_and_after_failure() -> None:
    budget = images.budget.memory
    before = budget.taken
    data = encode(photo(), "JPEG")
    with pytest.raises(TruncatedImageError):
        images.open_image(data[:2000]).decode()
    with images.open_image(data).decoded():
        assert budget.taken > before
    assert budget.taken == before


@pytest.mark.e2e
def test_memory_after_hostile_uploads_is_as_before() -> None:
    program = """
import gc, itertools
import django
django.setup()
from chaos.corpus import jpeg, png, tiff
from chaos.corpus.case import encode, photo
from moon_vision_challenge.classification import images
from moon_vision_challenge.classification.exceptions import InvalidImageError
empty = jpeg.repeated(b"", 0xFE, 5_000_000)
files = [empty, jpeg.repeated(b"", 0xE1, 90_000), png.with_text(png.after_header, b"zTXt", 900_000, count=50),
    tiff.strips(64, 64, pixels=bytes(9_000_000)), jpeg.sound()[:2000], encode(photo(3000, 2000), "PNG")]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
gc.disable()
for turn in range(12):
    for data in files:
        try:
            images.open_image(data).decode().close()
        except InvalidImageError:
            pass
    if turn == 1:
        before = resident()
print(resident() - before)
"""
    output = subprocess.run([sys.executable, "-c", program], check=True, timeout=600, capture_output=True, text=True)
    assert int(output.stdout) < 50_000_000
    assert output.stderr == ""
