"""The Celery application. Its options are the CELERY_* settings of config/settings/queue.py."""

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import (
    after_task_publish,
    beat_init,
    celeryd_after_setup,
    heartbeat_sent,
    worker_init,
    worker_process_shutdown,
    worker_shutdown,
    worker_shutting_down,
)
from celery.utils.dispatch import Signal
from django.conf import settings

from moon_vision_challenge.health import sightings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("moon_vision_challenge")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_sightings = sightings.Sightings()


@heartbeat_sent.connect
def note_this_worker(**_: object) -> None:
    """Record that this worker is alive. It sends a heartbeat every two seconds while it is connected to Redis."""
    _sightings.note(sightings.queue(name) for name in app.amqp.queues.consume_from)
    if settings.WORKER_HEARTBEAT_FILE:
        Path(settings.WORKER_HEARTBEAT_FILE).touch()


@beat_init.connect
def note_beat(**_: object) -> None:
    after_task_publish.connect(_note_a_sent_task)


def _note_a_sent_task(**_: object) -> None:
    _sightings.note([sightings.BEAT])


@celeryd_after_setup.connect
def stand_by(**_: object) -> None:
    """Let a worker process the queue straight from the database while Redis accepts no messages."""
    # Only workers need these modules.
    from moon_vision_challenge.classification.queue.routing import inference_queues
    from moon_vision_challenge.classification.queue.standby import Standby

    queues = sorted(inference_queues() & set(app.amqp.queues.consume_from))
    if not queues:  # a worker for webhooks
        return
    standby = Standby.of_this_process(queues)
    worker_shutting_down.connect(lambda **_: standby.stop(), weak=False)
    worker_shutdown.connect(lambda **_: standby.join(), weak=False)
    standby.start()


@celeryd_after_setup.connect
def show_that_a_worker_is_alive(**_: object) -> None:
    """Start the liveness checks. This is defined after stand_by, which must fork before any thread starts."""
    _show_that_this_process_is_alive(heartbeat_sent)


@beat_init.connect
def show_that_beat_is_alive(**_: object) -> None:
    _show_that_this_process_is_alive(after_task_publish)


def _show_that_this_process_is_alive(sent: Signal) -> None:
    """Touch LIVENESS_FILE for liveness probes, which must not fail because Redis is down."""
    if settings.LIVENESS_FILE:
        from moon_vision_challenge.health.process_liveness import ProcessLiveness  # only workers and beat need it

        liveness = ProcessLiveness(Path(settings.LIVENESS_FILE))
        sent.connect(lambda **_: liveness.note_sent(), weak=False)
        liveness.start()


@worker_process_shutdown.connect
def send_traces(**_: object) -> None:
    """Send the remaining traces, because Celery's processes end without running exit handlers."""
    from moon_vision_challenge.observability import tracing  # reads the settings

    tracing.flush()


@worker_init.connect
def survive_the_loss_of_redis(**_: object) -> None:
    """Make a worker that loses Redis reconnect instead of exiting.

    kombu 5.7.0 tries to requeue unacknowledged messages, and to acknowledge those of tasks that end later, over the
    connection that it has just closed. The worker then exits with an AttributeError, as in
    https://github.com/celery/kombu/issues/582. This patch skips the requeueing and turns the rest into a connection
    error, which Celery logs. A redelivered message finds nothing to do. The sweep makes up for a lost message.
    """
    # Only workers need this. Importing kombu's Redis transport would slow down the start of other processes by 0.4 s.
    from kombu.transport import redis as transport
    from redis.exceptions import ConnectionError as RedisConnectionError

    channel_class: Any = transport.Channel
    connection_parameters = channel_class._connparams

    def is_open(channel: Any) -> bool:
        return getattr(channel.connection, "client", None) is not None

    def checked_parameters(channel: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_open(channel):
            raise RedisConnectionError("the connection of this channel is lost")
        return connection_parameters(channel, *args, **kwargs)

    channel_class.do_restore = property(is_open)
    channel_class._connparams = checked_parameters
