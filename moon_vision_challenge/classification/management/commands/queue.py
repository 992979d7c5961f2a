"""Shows the state of the queue: python manage.py queue status [--json]"""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand

from moon_vision_challenge.classification.command_line import table
from moon_vision_challenge.classification.queue.gauges import QueueState, read_queue_states

_COLUMNS = ("QUEUE", "MODEL TYPE", "PENDING", "OLDEST S", "PROCESSING", "LOST WORKERS")


class Command(BaseCommand):
    help = "Shows the state of the queue."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        status = commands.add_parser("status", help="what is pending or processing, by queue and model type")
        status.add_argument("--json", action="store_true", help="print a JSON array of objects")

    def handle(self, **options: Any) -> None:
        states = sorted(read_queue_states())
        if options["json"]:
            self.stdout.write(json.dumps([state._asdict() for state in states]))
        else:
            self.stdout.write(table([_COLUMNS, *map(_row, states)]) if states else "Nothing waits.")


def _row(state: QueueState) -> Sequence[str]:
    return (
        *(state.queue, state.model_type, f"{state.pending}", f"{state.oldest_s:.0f}"),
        *(f"{state.processing}", f"{state.expired_leases}"),
    )
