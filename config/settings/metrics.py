"""Metrics for Prometheus."""

from config.settings.environment import env

METRICS_DIR = env.str("METRICS_DIR", default="")  # where the processes of one machine count together; empty: off
METRICS_CACHE_S = 5.0  # how long all scrapers get the same answer from PostgreSQL
METRICS_URL = env.str("METRICS_URL", default="")  # a link on the admin's front page, for its users
