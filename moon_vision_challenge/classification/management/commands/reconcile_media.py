"""Finds rows without their image file, and image files without a row: python manage.py reconcile_media

Without --apply, it only counts. Run it after a restore: docs/operations.md.
"""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from moon_vision_challenge.accounts import audit
from moon_vision_challenge.accounts.command_line import actor, duration
from moon_vision_challenge.classification import reconciliation
from moon_vision_challenge.classification.exceptions import StorageUnavailableError
from moon_vision_challenge.classification.media_store import media_store


class Command(BaseCommand):
    help = "Finds inferences without an image file, and image files without an inference."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--apply", action="store_true", help="end these rows, and delete these files")
        parser.add_argument(
            "--grace",
            type=duration,
            default=duration("1h"),
            metavar="AGE",
            help="skip rows and files that are younger (default: 1h)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        findings = reconciliation.Findings()
        try:
            media_store.check()
            days = list(reconciliation.days())
            if options["apply"]:
                _refuse_an_empty_store(days)
            for day in days:
                reconciliation.reconcile_day(day, findings, grace=options["grace"], apply=options["apply"])
        except StorageUnavailableError as error:
            raise CommandError(f"The image store does not answer. Run the command again. {error}") from error
        self.stdout.write(
            f"{findings.files} files\n"
            f"{findings.files_without_row} files without a row: {_deleted(options)}\n"
            f"{findings.pending_without_file} waiting rows without their file: {_done(options, 'failed')}\n"
            f"{findings.ended_without_file} ended rows without their file: {_done(options, 'kept, without an image')}"
        )
        if options["apply"]:
            audit.record("media.reconcile", actor=actor(), **vars(findings))


def _done(options: dict[str, Any], done: str) -> str:
    return done if options["apply"] else f"--apply: {done}"


def _deleted(options: dict[str, Any]) -> str:
    return "left to the bucket's lifecycle rule" if settings.MEDIA_S3_LIFECYCLE else _done(options, "deleted")


def _refuse_an_empty_store(days: list[str]) -> None:
    """Refuse an empty store, which is most likely not mounted, or the wrong bucket."""
    files = (file for day in days for file in media_store.files(f"inferences/{day}"))
    if days and next(files, None) is None:
        raise CommandError("The image store has no file at all. Check DJANGO_MEDIA_ROOT, or the bucket and its prefix.")
