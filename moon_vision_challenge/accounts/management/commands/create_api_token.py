"""Creates an API token and prints only the token to standard output: TOKEN=$(python manage.py create_api_token ci)"""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from moon_vision_challenge.accounts import tokens
from moon_vision_challenge.accounts.caller import Scope
from moon_vision_challenge.accounts.command_line import actor, duration
from moon_vision_challenge.accounts.models import Owner


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="what the token is for; unique among the valid tokens of its owner")
        parser.add_argument("--owner", help="the owner, created if it does not exist; by default, NAME")
        parser.add_argument(
            "--scopes",
            default=",".join(tokens.DEFAULT_SCOPES),
            help=f"separated by commas: {', '.join(Scope)}; by default, %(default)s",
        )
        parser.add_argument("--expires", type=duration, help="when it expires, such as 90d or 12h; by default, never")
        parser.add_argument("--rate", default="", help="such as 5/s or 5/s,1000/d; by default, that of API_TOKEN_RATE")

    def handle(self, *, name: str, owner: str | None, scopes: str, **options: Any) -> None:
        wanted = {scope.strip() for scope in scopes.split(",") if scope.strip()}
        if not wanted or wanted - set(Scope):
            raise CommandError(f"Unknown scopes: {scopes!r}. Choose from {', '.join(Scope)}.")
        expires_in = options["expires"]
        try:
            with transaction.atomic():
                _, secret = tokens.create_token(
                    owner=self._find_or_create(owner or name),
                    name=name,
                    actor=actor(),
                    scopes=wanted,
                    expires_at=timezone.now() + expires_in if expires_in else None,
                    rate=options["rate"],
                )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(secret)

    def _find_or_create(self, name: str) -> Owner:
        found = Owner.objects.filter(name=name).first()
        if found is None:
            found = Owner(name=name)
            found.full_clean()
            found.save()
            self.stderr.write(f"Created the owner {name}.")
        return found
