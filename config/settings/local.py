"""One machine: `make run`, or compose's local.yml. It runs what production runs, without TLS."""

from config.settings.base import *  # noqa: F403
