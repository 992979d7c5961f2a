"""Settings for one machine: `make run` or local.yml. Both run what production runs, but without TLS."""

from config.settings.base import *
