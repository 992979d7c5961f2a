"""Runs in the process that serves requests.

load_application is not in __main__.py, because a spawned worker, as on macOS, imports it by its module's name.
"""

import argparse
import functools
import logging

from moon_vision_challenge.model_server.application import Application
from moon_vision_challenge.model_server.bodies import BODY_TIMEOUT_S, Parser
from moon_vision_challenge.model_server.config import ModelConfig
from moon_vision_challenge.model_server.inference_queue import InferenceQueue
from moon_vision_challenge.model_server.loading import Platform
from moon_vision_challenge.model_server.monitoring import RequestMetrics
from moon_vision_challenge.model_server.open_inference import OpenInferenceApi
from moon_vision_challenge.model_server.registry import ModelRegistry
from moon_vision_challenge.model_server.reload import Reloader
from moon_vision_challenge.model_server.rest import RestApi
from moon_vision_challenge.model_server.slow_readers import WRITE_TIMEOUT_S, limit_write_time

logger = logging.getLogger("moon_vision_challenge.model_server")

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
# The number of requests that may wait for inference. Further ones get 503.
MAX_WAITING_REQUESTS = 48


def load_application(configs: list[ModelConfig], metrics_path: str | None, flags: argparse.Namespace) -> Application:
    """Load the models in the worker. The port opens when every model is available or has failed to load."""
    logging.basicConfig(format=LOG_FORMAT, level=logging.INFO)  # a spawned worker does not inherit it
    platform = Platform.ANY if flags.runtime == "auto" else Platform(flags.runtime)
    registry = ModelRegistry(flags.model_root, default_platform=platform, threads=flags.inference_threads)
    registry.update(configs)
    Reloader(
        registry,
        flags.model_config_file,
        configs,
        config_interval_s=flags.model_config_file_poll_wait_seconds,
        versions_interval_s=flags.file_system_poll_wait_seconds,
    ).start()
    logger.info("REST API at http://%s:%d", flags.rest_api_host, flags.rest_api_port)
    queue = InferenceQueue(flags.inference_threads, MAX_WAITING_REQUESTS)
    parser = Parser(flags.rest_api_max_body_bytes)
    return Application(
        RestApi(registry, queue, parser),
        OpenInferenceApi(registry, queue, parser),
        RequestMetrics(registry.has),
        on_listening=functools.partial(limit_write_time, flags.rest_api_port, WRITE_TIMEOUT_S),
        max_body_bytes=flags.rest_api_max_body_bytes,
        body_timeout_s=BODY_TIMEOUT_S,
        metrics_path=metrics_path,
    )
