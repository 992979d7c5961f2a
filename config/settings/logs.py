"""Logs: one line per event, to standard error, with the ids of the request and of the inference that it concerns."""

from config.settings.environment import env

ACCESS_LOG = env.bool("DJANGO_ACCESS_LOG", default=False)
_FORMAT = env.str("DJANGO_LOG_FORMAT", default="line", choices=("line", "json"))

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "context": {"()": "moon_vision_challenge.observability.log_context.ContextFilter"},
        "client_faults": {"()": "moon_vision_challenge.web.log_limits.ClientFaultFilter"},
    },
    "formatters": {
        "line": {
            "format": "%(asctime)s %(levelname)s %(name)s%(context)s %(message).2000s",
            "datefmt": "%Y-%m-%dT%H:%M:%S%z",
        },
        # https://nhairs.github.io/python-json-logger/latest/
        "json": {"()": "moon_vision_challenge.observability.json_logs.JSONFormatter"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": _FORMAT, "filters": ["client_faults", "context"]}
    },
    "loggers": {"audit": {"level": "INFO"}},  # whatever DJANGO_LOG_LEVEL is
    "root": {"handlers": ["stderr"], "level": env.str("DJANGO_LOG_LEVEL", default="INFO")},
}
