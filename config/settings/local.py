"""One machine: `make run` or local.yml. Both run what production runs, without TLS."""

from config.settings.base import *
