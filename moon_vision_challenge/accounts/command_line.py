"""Functions that the commands of this app share."""

import getpass
import re
from argparse import ArgumentTypeError
from datetime import timedelta

from django.core.management.base import CommandError

from moon_vision_challenge.accounts.models import Owner

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def actor() -> str:
    """Return the user who runs this command, for the audit log."""
    try:
        return f"command:{getpass.getuser()}"
    except (KeyError, OSError):  # a container may run under a user id without a name
        return "command"


def duration(text: str) -> timedelta:
    """Parse a duration such as 90d, 12h, or 30m."""
    match = re.fullmatch(r"([0-9]{1,5})([mhd])", text)
    if not match:
        raise ArgumentTypeError(f"{text!r} is not a time. Write a number and m, h, or d, such as 90d.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def find_owner(name: str) -> Owner:
    try:
        return Owner.objects.get(name=name)
    except Owner.DoesNotExist:
        names = ", ".join(Owner.objects.order_by("name").values_list("name", flat=True)[:20])
        raise CommandError(f"There is no owner {name!r}. Known owners: {names}.") from None
