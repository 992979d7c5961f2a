"""python -m moon_vision_challenge.model_server --model_config_file=models.config --model_root=models"""

import argparse
import functools
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from moon_vision_challenge import __version__
from moon_vision_challenge.model_server.config import ModelConfig, parse_models_config
from moon_vision_challenge.model_server.inference_queue import InferenceQueue
from moon_vision_challenge.model_server.registry import ModelRegistry
from moon_vision_challenge.model_server.reload import Reloader
from moon_vision_challenge.model_server.rest import RestApi
from moon_vision_challenge.text_format import ConfigError

logger = logging.getLogger("moon_vision_challenge.model_server")

# Threads that may wait for inference, and threads that remain for status and metadata while they do.
WAITING_THREADS, SPARE_THREADS = 48, 4
SHUTDOWN_TIMEOUT_S = 30


def parse_flags(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags are spelt as tensorflow_model_server spells them; --flag=value and --flag value are the same."""
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
        help="between looks at models.config for changes (default: %(default)s, never)",
    )
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        default=1,
        metavar="SECONDS",
        help="between looks for new versions of the models; 0 is never (default: %(default)s)",
    )
    add("--rest_api_port", type=int, default=8501, help="(default: %(default)s)")
    add("--rest_api_host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--model_root", type=Path, help="folder that stands in for a leading /models in base_path")
    add(
        "--rest_api_max_body_bytes", type=int, default=64_000_000, help="larger requests get 413 (default: %(default)s)"
    )
    add(
        "--inference_threads",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="runs at a time (default: one a core, %(default)s)",
    )
    return parser.parse_args(argv)


def check_port_is_free(host: str, port: int) -> None:
    """Raises OSError.

    Granian listens with SO_REUSEPORT, which would let two servers share a port and split the requests.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: connections that linger are no server
        probe.bind(address)


def let_worker_be_stopped_while_it_loads() -> None:
    """A forked worker has its parent's handlers, which only note a signal, until Granian installs the worker's own.

    A SIGTERM in between would be lost and the shutdown would wait for its timeout, so the worker starts with the
    default action, and signals are held back until it does. Ctrl-C reaches both processes; the parent passes it on.
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


def load_application(configs: list[ModelConfig], flags: argparse.Namespace) -> RestApi:
    """Runs in the worker before it listens: the port opens when every model is available or known not to be."""
    registry = ModelRegistry(flags.model_root)
    registry.update(configs)
    Reloader(
        registry,
        flags.model_config_file,
        configs,
        config_interval_s=flags.model_config_file_poll_wait_seconds,
        versions_interval_s=flags.file_system_poll_wait_seconds,
    ).start()
    logger.info("REST API at http://%s:%d", flags.rest_api_host, flags.rest_api_port)
    queue = InferenceQueue(flags.inference_threads, WAITING_THREADS)
    return RestApi(registry, queue, max_body_bytes=flags.rest_api_max_body_bytes)


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    flags = parse_flags(argv)
    try:
        configs = parse_models_config(flags.model_config_file.read_text(encoding="utf-8"))
    except (ConfigError, UnicodeDecodeError) as error:
        logger.error("%s: %s", flags.model_config_file, error)
        return 1
    except OSError as error:
        logger.error("Cannot read %s: %s", flags.model_config_file, error.strerror)
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
    let_worker_be_stopped_while_it_loads()
    server = Granian(
        "model_server",
        address=flags.rest_api_host,
        port=flags.rest_api_port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=1,
        # One process holds the model once and balances perfectly: a thread that is free takes the next request.
        blocking_threads=flags.inference_threads + WAITING_THREADS + SPARE_THREADS,
        workers_kill_timeout=SHUTDOWN_TIMEOUT_S,
        log_level=LogLevels.error,
    )
    server.serve(target_loader=functools.partial(load_application, configs, flags), wrap_loader=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
