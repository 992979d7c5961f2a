"""Logs: one line per event, to standard error, with the ids of the request and of the inference that it concerns."""

from typing import Any

from config.settings.environment import env

ACCESS_LOG = env.bool("DJANGO_ACCESS_LOG", default=False)
# Empty: JSON with the production settings, and human-readable lines otherwise
LOG_FORMAT = env.str("DJANGO_LOG_FORMAT", default="", choices=("", "line", "json"))

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "context": {"()": "moon_vision_challenge.observability.log_context.ContextFilter"},
        "client_faults": {"()": "moon_vision_challenge.web.log_limits.ClientFaultFilter"},
    },
    "formatters": {
        "line": {"()": "moon_vision_challenge.observability.line_logs.LineFormatter"},
        # https://nhairs.github.io/python-json-logger/latest/
        "json": {"()": "moon_vision_challenge.observability.json_logs.JSONFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT or "line",
            "filters": ["client_faults", "context"],
        }
    },
    "loggers": {"audit": {"level": "INFO"}},  # whatever DJANGO_LOG_LEVEL is
    "root": {"handlers": ["stderr"], "level": env.str("DJANGO_LOG_LEVEL", default="INFO")},
}
