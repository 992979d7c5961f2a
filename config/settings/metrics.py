"""Metrics for Prometheus, and traces for OpenTelemetry."""

from config.settings.environment import env

METRICS_DIR = env.str("METRICS_DIR", default="")  # where the processes of one machine share their counts; empty: off
METRICS_CACHE_S = 5.0  # how long all scrapers get the same answer from PostgreSQL
METRICS_URL = env.str("METRICS_URL", default="")  # a link on the admin's front page, for its users

# The trace collector, such as http://collector:4318. Empty: off. It needs requirements/tracing.txt.
# OpenTelemetry reads its other variables itself: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")
OTEL_SERVICE_NAME = env.str("OTEL_SERVICE_NAME", default="moon-vision-challenge")
