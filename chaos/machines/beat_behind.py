"""`python -m chaos.machines.beat_behind SECONDS …`: runs beat with a clock that is behind. Accepts beat's options."""

import sys
from datetime import datetime, timedelta

from celery import Celery
from celery.bin.celery import celery


def main(behind: timedelta, arguments: list[str]) -> None:
    right = Celery.now

    def now(app: Celery) -> datetime:
        found: datetime = right(app)
        return found - behind

    Celery.now = now  # type: ignore[method-assign,assignment]  # beat reads it, and its messages expire by it
    celery(["-A", "config.celery_app", "beat", *arguments])


if __name__ == "__main__":
    main(timedelta(seconds=float(sys.argv[1])), sys.argv[2:])
