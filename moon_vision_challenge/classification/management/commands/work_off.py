"""Classifies what waits in the queue, by the database alone."""

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from moon_vision_challenge.classification.queue.database_only import DatabaseOnlyWorker


class Command(BaseCommand):
    help = "Works off the queues by the database alone, until Redis takes messages. A worker starts it by itself."
    requires_system_checks = ()  # its worker has run them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queues", nargs="+", help="the queues to work off")
        parser.add_argument("--parent", type=int, default=os.getppid(), help="end when this parent process has ended")

    def handle(self, *, queues: list[str], parent: int, **_: Any) -> None:
        DatabaseOnlyWorker(queues, parent=parent).run()
