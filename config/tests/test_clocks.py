"""Machines whose clocks differ by minutes."""

from datetime import timedelta
from typing import Any

from django.conf import settings

CLOCKS_DIFFER_BY = timedelta(minutes=10)
SCHEDULE: dict[str, Any] = settings.CELERY_BEAT_SCHEDULE


def test_no_periodic_task_expires_on_a_machine_whose_clock_is_ahead() -> None:
    """A worker drops a message that has expired by its own clock."""
    lifetimes = {name: entry["options"]["expires"] for name, entry in SCHEDULE.items()}
    assert [name for name, expires_s in lifetimes.items() if expires_s <= CLOCKS_DIFFER_BY.total_seconds()] == []


def test_periodic_tasks_do_not_pile_up_without_end_while_no_worker_runs() -> None:
    for name, entry in SCHEDULE.items():
        assert entry["options"]["expires"] / entry["schedule"] <= 60, name
