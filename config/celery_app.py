"""The Celery application. Its options are the CELERY_* settings of config/settings/base.py."""

import os

from celery import Celery
from celery.signals import worker_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("moon_vision_challenge")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
def survive_the_loss_of_redis(**_: object) -> None:
    """Have a worker that loses Redis connect again instead of ending.

    kombu wants to put unacknowledged messages back through the connection that it has just thrown away, and the worker
    ends with an AttributeError. What is not put back, the sweep finds.
    """
    # Only a worker needs it: kombu's Redis transport takes 0.4 s to import, of the start of every other process.
    from kombu.transport.redis import Channel  # noqa: PLC0415

    Channel.do_restore = property(lambda channel: getattr(channel.connection, "client", None) is not None)  # type: ignore[assignment]
