"""Classifies the images in the queue without Redis."""

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from moon_vision_challenge.classification.queue.database_only import DatabaseOnlyWorker


class Command(BaseCommand):
    help = "Processes the queues from the database alone until Redis accepts messages. Workers start it themselves."
    requires_system_checks = ()  # the worker that starts this command has run them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("queues", nargs="+", help="the queues to process")
        parser.add_argument(
            "--parent", type=int, default=os.getppid(), help="the parent process, with which this one ends"
        )

    def handle(self, *, queues: list[str], parent: int, **_: Any) -> None:
        DatabaseOnlyWorker(queues, parent=parent).run()
