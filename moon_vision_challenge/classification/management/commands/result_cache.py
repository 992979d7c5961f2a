"""Clears the result cache: python manage.py result_cache clear"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from redis.exceptions import RedisError

from moon_vision_challenge.result_cache import store


class Command(BaseCommand):
    help = "Manages the result cache."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        commands.add_parser("clear", help="forget all results, for example after a classificator has changed")

    def handle(self, **_: Any) -> None:
        try:
            count = store.clear()
        except RedisError as error:
            raise CommandError(f"Redis is not available: {error}") from error
        self.stdout.write(f"{count} results are forgotten.")
