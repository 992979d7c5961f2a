"""One check per service of whether it can do its work. A check queries the service itself and never raises."""

from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg2
import redis
import requests

from .addresses import web_url

MODEL = "efficientnet_lite0"
TIMEOUT_S = 5


def is_ready(service: str, env: Mapping[str, str], log: Path) -> bool:
    """Return whether a service is ready. A service without a check, such as beat, always is."""
    return _QUESTIONS[service](env, log) if service in _QUESTIONS else True


def _postgres(env: Mapping[str, str], _log: Path) -> bool:
    try:
        psycopg2.connect(env["DATABASE_URL"], connect_timeout=TIMEOUT_S).close()
    except psycopg2.OperationalError:
        return False
    return True


def _redis(env: Mapping[str, str], _log: Path) -> bool:
    if env["REDIS_URL"].startswith("sentinel"):
        return True  # not started here, and /status reports whether it accepts writes
    try:
        with redis.Redis.from_url(
            env["REDIS_URL"], socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        ) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=TIMEOUT_S).ok
    except requests.RequestException:
        return False


def _model_server(env: Mapping[str, str], _log: Path) -> bool:
    url = env["TF_SERVING_URL"].rstrip("/")
    if url.endswith("/v2"):  # the Open Inference Protocol
        return _answers(f"{url}/models/{MODEL}/ready")
    try:
        reply = requests.get(f"{url}/v1/models/{MODEL}", timeout=TIMEOUT_S)
    except requests.RequestException:
        return False
    return reply.ok and any(version["state"] == "AVAILABLE" for version in reply.json()["model_version_status"])


def _worker(_env: Mapping[str, str], log: Path) -> bool:
    # Celery's own message. A query over the queue takes a second of imports, and the log is just as early.
    return " ready." in log.read_text(errors="replace")


_QUESTIONS: dict[str, Callable[[Mapping[str, str], Path], bool]] = {
    "postgres": _postgres,
    "redis": _redis,
    "model_server": _model_server,
    "web": lambda env, _log: _answers(f"{web_url(env)}/readyz"),
    "worker": _worker,
    "webhook_worker": _worker,
    "metrics": lambda env, _log: _answers(f"http://127.0.0.1:{env['METRICS_PORT']}/metrics"),
    "flower": lambda env, _log: _answers(f"http://127.0.0.1:{env['FLOWER_PORT']}/healthcheck"),
}
