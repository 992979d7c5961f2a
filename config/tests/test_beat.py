"""The file that shows the health check of beat's container that beat sends tasks."""

import os
import subprocess
from pathlib import Path
from unittest import mock

from celery.beat import PersistentScheduler
from django.conf import settings

from config.celery_app import app

HEALTHCHECK = settings.ROOT_DIR / "compose" / "django" / "start" / "healthcheck"


def is_healthy(schedule: Path) -> bool:
    script = HEALTHCHECK.read_text().replace("/tmp/celerybeat", str(schedule))  # noqa: S108
    return subprocess.run(["bash", "-c", script, "healthcheck", "celerybeat"], check=False, timeout=300).returncode == 0


def test_beat_is_healthy_while_it_sends_tasks(tmp_path: Path) -> None:
    """By default, Celery writes the file every three minutes."""
    scheduler = PersistentScheduler(app, schedule_filename=str(tmp_path / "schedule"))
    entry = scheduler.schedule["sweep-inferences"]
    with mock.patch.object(app, "send_task"):
        for _ in range(2):  # the first task writes the file in any case
            for file in tmp_path.iterdir():
                os.utime(file, (0, 0))
            assert not is_healthy(tmp_path)
            scheduler.apply_async(entry, producer=mock.Mock())
            assert is_healthy(tmp_path)
    scheduler.close()
