"""python -m moon_vision_challenge.model_server --model_config_file=models.config --model_root=models"""

import argparse
import functools
import logging
import multiprocessing
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from moon_vision_challenge import __version__
from moon_vision_challenge.model_server.config import read_models_config
from moon_vision_challenge.model_server.loading import Platform
from moon_vision_challenge.model_server.monitoring import DEFAULT_PATH, read_path
from moon_vision_challenge.model_server.worker import LOG_FORMAT, load_application
from moon_vision_challenge.text_format import ConfigError

logger = logging.getLogger("moon_vision_challenge.model_server")

# The maximum number of open connections, each of which may hold one small body. Others wait in the operating system's
# queue until one ends.
MAX_CONNECTIONS = 2048
# The time limit for the whole header of a request, from the start of the connection or from the last answer. Clients
# reconnect.
HEADER_TIMEOUT_S = 20
SHUTDOWN_TIMEOUT_S = 30


def parse_flags(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the flags, which have the names of tensorflow_model_server's flags."""
    parser = argparse.ArgumentParser(
        prog="model_server", allow_abbrev=False, description="TensorFlow Serving's REST API for ONNX models."
    )
    add = parser.add_argument
    add("--version", action="version", version=f"%(prog)s {__version__}")
    add("--model_config_file", type=Path, required=True, help="models.config, in protocol-buffer text format")
    add(
        "--model_config_file_poll_wait_seconds",
        type=float,
        default=0,
        metavar="SECONDS",
        help="time between checks of models.config for changes; 0 means never (default: %(default)s)",
    )
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1,
        metavar="SECONDS",
        help="time between checks for new versions of the models; 0 means never (default: %(default)s)",
    )
    add("--rest_api_port", type=int, default=8501, help="port to listen on (default: %(default)s)")
    add("--rest_api_host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--model_root", type=Path, help="folder that replaces a leading /models in base_path")
    add(
        "--rest_api_max_body_bytes",
        type=int,
        default=64_000_000,
        metavar="BYTES",
        help="larger requests get status 413 (default: %(default)s)",
    )
    add(
        "--monitoring_config_file",
        type=Path,
        metavar="FILE",
        help=f"names the path of the metrics for Prometheus (default: {DEFAULT_PATH})",
    )
    add(
        "--inference_threads",
        type=int,
        default=_cores(),
        metavar="N",
        help="number of concurrent model runs (default: the number of cores, %(default)s)",
    )
    add(
        "--runtime",
        choices=["auto", Platform.ONNXRUNTIME.value, Platform.OPENVINO.value],
        default="auto",
        help="what runs model.onnx, unless its model_platform names it (default: %(default)s)",
    )
    return parser.parse_args(argv)


def _cores() -> int:
    """Return how many cores this process may use, if the system reports it."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def check_port_is_free(host: str, port: int) -> None:
    """Raises OSError if the port is not free.

    Granian listens with SO_REUSEPORT, which would let two servers share a port and split the requests.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection that lingers does not count
        probe.bind(address)


def allow_open_files(count: int) -> None:
    """Raise the usual limit of 1024 open files as far as the hard limit allows: every connection is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def let_worker_be_stopped_while_it_loads() -> None:
    """Give a forked worker the default handlers.

    Until Granian installs the worker's handlers, the worker has those of its parent, which only record the signal. A
    SIGTERM during that time would be lost, and the shutdown would wait for its timeout. Ctrl-C reaches both processes,
    and the parent passes it on, so the worker ignores it.
    """
    stopping = {signal.SIGTERM, signal.SIGINT}

    def hold() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, stopping)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stopping)

    def reset() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=reset)


def choose_start_method() -> None:
    """Fork the worker, so that it shares the modules that are loaded here, unless the start method has been chosen.

    Since Python 3.14, the default on Linux is another method. On macOS, forking is not safe.
    """
    if sys.platform == "linux" and multiprocessing.get_start_method(allow_none=True) is None:
        multiprocessing.set_start_method("fork")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code."""
    logging.basicConfig(format=LOG_FORMAT, level=logging.INFO)
    flags = parse_flags(argv)
    try:
        configs = read_models_config(flags.model_config_file)
    except ConfigError as error:
        logger.error("%s: %s", flags.model_config_file, error)
        return 1
    try:
        metrics_path = read_path(flags.monitoring_config_file)
    except ConfigError as error:
        logger.error("%s: %s", flags.monitoring_config_file, error)
        return 1
    try:
        check_port_is_free(flags.rest_api_host, flags.rest_api_port)
    except OSError as error:
        logger.error(
            "Cannot listen on %s:%d (%s): choose another --rest_api_port",
            flags.rest_api_host,
            flags.rest_api_port,
            error.strerror,
        )
        return 1
    allow_open_files(MAX_CONNECTIONS + 256)
    choose_start_method()
    let_worker_be_stopped_while_it_loads()
    server = Granian(
        "model_server",
        address=flags.rest_api_host,
        port=flags.rest_api_port,
        interface=Interfaces.RSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_S * 1000),
        websockets=False,
        workers=1,  # one process holds each model once, and any free thread takes the next request
        backpressure=MAX_CONNECTIONS,
        workers_kill_timeout=SHUTDOWN_TIMEOUT_S,
        log_level=LogLevels.error,
    )
    server.serve(target_loader=functools.partial(load_application, configs, metrics_path, flags), wrap_loader=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
