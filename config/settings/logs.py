"""One line per event, to standard error, with the id of the inference that it concerns."""

from config.settings.environment import env

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "inference": {"()": "moon_vision_challenge.classification.log_context.InferenceIdFilter"},
        "client_faults": {"()": "moon_vision_challenge.web.log_limits.ClientFaultFilter"},
    },
    "formatters": {
        "line": {
            "format": "%(asctime)s %(levelname)s %(name)s [inference=%(inference_id)s] %(message).2000s",
            "datefmt": "%Y-%m-%dT%H:%M:%S%z",
        }
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["client_faults", "inference"]}
    },
    "loggers": {"audit": {"level": "INFO"}},  # whatever DJANGO_LOG_LEVEL is
    "root": {"handlers": ["stderr"], "level": env.str("DJANGO_LOG_LEVEL", default="INFO")},
}
