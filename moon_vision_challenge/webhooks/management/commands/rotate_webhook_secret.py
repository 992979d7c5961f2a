"""Gives an owner a new webhook secret and prints it, alone. Until --overlap ends, webhooks carry both signatures."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from moon_vision_challenge.accounts.command_line import actor, duration, find_owner
from moon_vision_challenge.webhooks import signing


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("owner", help="the name of the owner; `anonymous` for callers without a token")
        parser.add_argument(
            "--overlap",
            type=duration,
            default=signing.OVERLAP,
            help="how long the earlier secret stays valid, such as 24h (the default); 0m ends it now",
        )

    def handle(self, *, owner: str, overlap: timedelta, **_: Any) -> None:
        self.stdout.write(signing.rotate_secret(find_owner(owner), actor=actor(), overlap=overlap).secret)
