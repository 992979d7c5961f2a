"""Revokes API tokens by id or by name. Processes refuse them after API_TOKEN_CACHE_S."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from moon_vision_challenge.accounts import tokens
from moon_vision_challenge.accounts.command_line import actor
from moon_vision_challenge.accounts.models import ApiToken


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("token", help="the id or the name of a token; list_api_tokens shows them")
        parser.add_argument("--owner", help="only a token of this owner")

    def handle(self, *, token: str, owner: str | None, **_: Any) -> None:
        valid = ApiToken.objects.select_related("owner").filter(revoked_at__isnull=True)
        if owner:
            valid = valid.filter(owner__name=owner)
        found = list(valid.filter(name=token)) or (list(valid.filter(pk=token)) if token.isdecimal() else [])
        if not found:
            raise CommandError(f"There is no valid token {token!r}. `list_api_tokens` lists them.")
        if len(found) > 1:
            ids = ", ".join(f"{each.pk} of {each.owner.name}" for each in found)
            raise CommandError(f"More than one token has this name: {ids}. Give the id, or --owner.")
        tokens.revoke_token(found[0], actor=actor())
        self.stdout.write(f"Revoked {found[0].name} of {found[0].owner.name}.")
