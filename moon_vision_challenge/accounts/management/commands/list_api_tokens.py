"""Lists the API tokens, without their secrets."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand

from moon_vision_challenge.accounts.models import ApiToken

_COLUMNS = ("ID", "OWNER", "NAME", "BEGINS WITH", "SCOPES", "STATE", "EXPIRES", "LAST USED")


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--owner", help="only the tokens of this owner")

    def handle(self, *, owner: str | None, **_: Any) -> None:
        tokens = ApiToken.objects.select_related("owner").order_by("owner__name", "name", "pk")
        if owner:
            tokens = tokens.filter(owner__name=owner)
        rows = [_COLUMNS, *(_row(token) for token in tokens)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())


def _row(token: ApiToken) -> tuple[str, ...]:
    return (
        str(token.pk),
        token.owner.name,
        token.name,
        token.prefix,
        ",".join(token.scopes),
        token.state,
        _day(token.expires_at),
        _day(token.last_used_at),
    )


def _day(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else "never"
