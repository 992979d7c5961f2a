"""Shows, retries, cancels, and deletes inferences: python manage.py inferences show 17

It uses the same services as the API and the admin, and writes to the audit log.
"""

import json
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from moon_vision_challenge.accounts.command_line import actor
from moon_vision_challenge.classification import operations
from moon_vision_challenge.classification.command_line import add_filters, find_inferences, table
from moon_vision_challenge.classification.hints import hint_for
from moon_vision_challenge.classification.models import FINAL_STATUSES, Inference

_BATCH = 500
_COLUMNS = ("ID", "OWNER", "MODEL TYPE", "STATUS", "ATTEMPTS", "CREATED", "LABEL OR ERROR")
_FIELDS = (
    *("id", "model_type", "status", "label", "error", "attempts", "model_version", "queue", "created_at"),
    *("started_at", "finished_at", "webhook_url"),
)
_ACTIONS = {
    "retry": (operations.retry, (Inference.STATUS.FAIL,), "pending again"),
    "cancel": (operations.cancel, (Inference.STATUS.PENDING,), "canceled"),
    "purge": (operations.delete, FINAL_STATUSES, "deleted"),
}
"""The operation of each command, the statuses that it applies to, and what the inferences are afterward."""


class Command(BaseCommand):
    help = "Shows, retries, cancels, and deletes inferences."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        show = commands.add_parser("show", help="list inferences, newest first")
        show.add_argument("--limit", type=int, default=20, help="how many (default: %(default)s)")
        show.add_argument("--json", action="store_true", help="print one JSON object per line")
        retry = commands.add_parser("retry", help="make failed inferences pending again")
        cancel = commands.add_parser("cancel", help="take pending inferences out of the queue")
        purge = commands.add_parser("purge", help="delete final inferences, with their images and webhooks")
        purge.add_argument("--dry-run", action="store_true", help="only say how many would be deleted")
        for each in (show, retry, cancel, purge):
            add_filters(each)

    def handle(self, **options: Any) -> None:
        if options["command"] == "show":
            self._show(**options)
        else:
            self._change(**options)

    def _show(self, **options: Any) -> None:
        rows = find_inferences({**options, "all": True}).select_related("owner").order_by("-pk")[: options["limit"]]
        if options["json"]:
            for row in rows:
                self.stdout.write(json.dumps(_as_json(row), default=str))
            return
        self.stdout.write(table([_COLUMNS, *map(_as_cells, rows)]))
        if options["ids"]:
            for row in rows:
                if row.error:
                    self.stdout.write(f"{row.pk}: {row.error.get('detail', '')} {hint_for(row.error)}")

    def _change(self, *, command: str, **options: Any) -> None:
        operation, statuses, result = _ACTIONS[command]
        if options["status"] not in (None, *statuses):
            raise CommandError(f"{command} is for inferences with the status {' or '.join(statuses)}.")
        found = find_inferences(options).filter(status__in=statuses)
        if options.get("dry_run"):
            self.stdout.write(f"{found.count()} would be {result}.")
            return
        done = 0
        for ids in _batches(found.order_by("pk")):
            outcome = operations.apply(operation, ids, actor=actor())
            done += outcome.done
            for reason, count in outcome.refused.items():
                self.stderr.write(f"{count} unchanged: {reason}")
        if options["ids"] and done < len(set(options["ids"])):
            wanted = " or ".join(statuses)
            self.stderr.write(f"{len(set(options['ids'])) - done} of these do not exist, or are not {wanted}.")
        self.stdout.write(f"{done} are {result}.")


def _batches(rows: Any) -> Iterator[Sequence[int]]:
    """Yield ids in ascending order, in batches. Rows change in the meantime, but this order yields each one once."""
    last = 0
    while ids := list(rows.filter(pk__gt=last).values_list("pk", flat=True)[:_BATCH]):
        yield ids
        last = ids[-1]


def _as_json(row: Inference) -> dict[str, object]:
    return {**{name: getattr(row, name) for name in _FIELDS}, "owner": row.owner.name}


def _as_cells(row: Inference) -> Sequence[str]:
    result = row.error.get("code", "?") if row.error else row.label
    return (
        *(f"{row.pk}", row.owner.name, row.model_type, row.status, f"{row.attempts}"),
        *(f"{row.created_at:%Y-%m-%d %H:%M:%S}", result),
    )
