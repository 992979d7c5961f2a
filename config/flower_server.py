"""`python -m config.flower_server`: runs Flower behind a login.

Flower shows tasks and workers. It can control them only if FLOWER_READ_ONLY is false. The command accepts Flower's own
options.
"""

import os
import sys
from collections.abc import Sequence

from celery.bin.celery import celery
from django.conf import settings
from flower.views.monitor import Metrics  # type: ignore[import-untyped]
from tornado.web import authenticated

NO_LOGIN = """\
Flower needs a login, because it shows all tasks and may control workers.
Set FLOWER_BASIC_AUTH=USER:PASSWORD, or FLOWER_AUTH and FLOWER_AUTH_PROVIDER for OAuth: https://flower.readthedocs.io/en/latest/auth.html
"""


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT. Return the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    if not settings.FLOWER_BASIC_AUTH and not os.environ.get("FLOWER_AUTH"):
        sys.stderr.write(NO_LOGIN)
        return 2
    protect()
    celery(["-A", "config.celery_app", "flower", *arguments])  # exits
    return 0


def protect() -> None:
    """Set the environment variables that Flower reads, and add the login that its /metrics lacks."""
    if settings.FLOWER_BASIC_AUTH:
        os.environ["FLOWER_BASIC_AUTH"] = settings.FLOWER_BASIC_AUTH
    os.environ["FLOWER_READ_ONLY"] = str(settings.FLOWER_READ_ONLY).lower()
    os.environ.pop("FLOWER_UNAUTHENTICATED_API", None)
    # Flower's Sentinel client is asynchronous, and needs a different kind of retry.
    settings.CELERY_BROKER_TRANSPORT_OPTIONS.get("sentinel_kwargs", {}).pop("retry", None)
    Metrics.get = authenticated(Metrics.get)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
