"""Arguments that select inferences, and tables, for this app's commands."""

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandError
from django.db.models import QuerySet
from django.db.models.functions import Now

from moon_vision_challenge.accounts.command_line import duration, find_owner
from moon_vision_challenge.classification.models import Inference

_FILTERS = ("ids", "status", "model", "owner", "older_than")


def add_filters(parser: ArgumentParser) -> None:
    """Add arguments that select inferences. An inference must match all that are given."""
    parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="the ids of inferences")
    parser.add_argument("--status", choices=Inference.STATUS.values)
    parser.add_argument("--model", metavar="MODEL_TYPE", help="only those of this model type")
    parser.add_argument("--owner", metavar="NAME", help="only those of this owner")
    parser.add_argument(
        "--older-than", type=duration, metavar="AGE", help="only those created before, such as 90d or 12h"
    )
    parser.add_argument("--all", action="store_true", help="allow a command without any filter")


def find_inferences(options: dict[str, Any]) -> QuerySet[Inference]:
    """Return the inferences that the arguments select.

    Raises CommandError if they select all inferences without --all.
    """
    if not options["all"] and not any(options[name] for name in _FILTERS):
        raise CommandError("This concerns all inferences. Give ids or filters, or --all.")
    rows = Inference.objects.all()
    if options["ids"]:
        rows = rows.filter(pk__in=options["ids"])
    if options["status"]:
        rows = rows.filter(status=options["status"])
    if options["model"]:
        rows = rows.filter(model_type=options["model"])
    if options["owner"]:
        rows = rows.filter(owner=find_owner(options["owner"]))
    if options["older_than"]:
        rows = rows.filter(created_at__lt=Now() - options["older_than"])
    return rows


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table with aligned columns. The first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)
