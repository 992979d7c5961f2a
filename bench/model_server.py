"""Compares the native model server with onnxruntime in process, and the int8 model with the float32 one."""

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import onnxruntime
import pybase64

from moon_vision_challenge.model_zoo.build import Precision, build_model
from native.environment import ROOT, free_port

from . import load, running_services
from .table import rates_table

NAME = "efficientnet_lite0"
SIZE = 224
CORES = 2
BATCH = 8
PRECISIONS: tuple[Precision, ...] = ("int8", "float32")

Run = Callable[[float], float]
"""A function that works for this many seconds and returns images per second."""


def measure(*, rounds: int = 5, seconds: float = 5, clients: int = 8) -> dict[str, float]:
    """Print a table, and return the images per second of each contestant. They take turns. Both models stay loaded."""
    int8, float32 = build("int8"), build("float32")
    with served(int8) as int8_url, served(float32) as float32_url:
        contestants: dict[str, Run] = {
            "int8, binary, 1 image per request": _binary(int8_url, images=1, clients=clients),
            f"int8, binary, {BATCH} images per request": _binary(int8_url, images=BATCH, clients=clients),
            "int8, REST, 1 image per request": _rest(int8_url, images=1, clients=clients),
            f"int8, REST, {BATCH} images per request": _rest(int8_url, images=BATCH, clients=clients),
            "int8, in process": in_process(int8, images=1),
            f"int8, in process, {BATCH} images per run": in_process(int8, images=BATCH),
            "float32, binary, 1 image per request": _binary(float32_url, images=1, clients=clients),
        }
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(rounds + 1):
            for name, run in contestants.items():
                rate = run(seconds if number else 1)  # the first round fills caches and pools
                if number:
                    rates[name].append(rate)
    print(f"\nmodel server, {NAME}, {clients} clients, {CORES} threads, {rounds} rounds of {seconds:g} s, medians")
    print(rates_table(rates))
    return {name: statistics.median(each) for name, each in rates.items()}


def build(precision: Precision) -> Path:
    """Build lite0 in this precision, and return its models folder."""
    directory = running_services.BENCH_DIR / f"models-{precision}"
    build_model(NAME, directory, precision)
    return directory


@contextmanager
def served(models_dir: Path) -> Iterator[str]:
    """Start the native model server with these models. Yields the URL of lite0."""
    with started(models_dir) as (url, _):
        yield url


@contextmanager
def started(models_dir: Path, *more_flags: str) -> Iterator[tuple[str, int]]:
    """Start the same server, and yield its process id as well."""
    port = free_port()
    flags = (f"--rest_api_port={port}", f"--model_root={models_dir}", f"--inference_threads={CORES}", *more_flags)
    command = ("-m", "moon_vision_challenge.model_server", f"--model_config_file={ROOT / 'models.config'}", *flags)
    url = f"http://127.0.0.1:{port}/v1/models/{NAME}"
    with running_services.process(sys.executable, *command, ready=url) as pid:
        yield url, pid


def _pixels(images: int) -> np.ndarray:
    return np.random.default_rng(seed=0).integers(0, 256, (images, SIZE, SIZE, 3), dtype=np.uint8)


def _rest(url: str, *, images: int, clients: int) -> Run:
    instances = [{"b64": pybase64.b64encode_as_string(image.tobytes())} for image in _pixels(images)]
    body = json.dumps({"signature_name": "raw", "instances": instances}).encode()
    return _posts(f"{url}:predict", body, "", images=images, clients=clients)


def _binary(url: str, *, images: int, clients: int) -> Run:
    """Post through the Open Inference Protocol with binary data, as the service does in `make run`."""
    pixels = _pixels(images)
    size = {"binary_data_size": pixels.nbytes}
    tensor = {"name": "images", "datatype": "UINT8", "shape": pixels.shape, "parameters": size}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = f"Inference-Header-Content-Length: {len(head)}\r\n"
    infer = url.replace("/v1/", "/v2/") + "/infer"
    return _posts(infer, head + pixels.tobytes(), length, images=images, clients=clients)


def _posts(url: str, body: bytes, headers: str, *, images: int, clients: int) -> Run:
    address = urlsplit(url)
    length = f"Content-Length: {len(body)}\r\n{headers}"
    head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\n{length}\r\n"

    def run(seconds: float) -> float:
        done = load.post(
            url,
            head.encode() + body,
            clients=clients,
            seconds=seconds,
            services={},
            check=lambda status, _: status == 200,
        )
        return done.rate * images

    return run


def in_process(models_dir: Path, *, images: int) -> Run:
    """Run onnxruntime alone, with CORES threads that each run one batch after the other."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = models_dir / NAME / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {"images": _pixels(images)}

    def run(seconds: float) -> float:
        counts = [0] * CORES
        start = time.perf_counter()

        def work(thread: int) -> None:
            while time.perf_counter() - start < seconds:
                session.run(["probabilities"], feeds)
                counts[thread] += images

        threads = [threading.Thread(target=work, args=(number,)) for number in range(CORES)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - start)

    return run
