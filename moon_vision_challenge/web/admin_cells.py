"""Cells of the admin's lists."""

from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString


def state(text: str, color: str) -> SafeString:
    """Return a state in one of the colors of admin_site/operations.css: good, bad, active, waiting, or idle."""
    return format_html('<span class="state state-{}">{}</span>', color, text)


def seconds(begin: datetime | None, end: datetime | None) -> str:
    """Return the time between two moments, such as 0.12 s, 3 min 5 s, or 2 d 4 h."""
    if begin is None or end is None:
        return "-"
    return duration((end - begin).total_seconds())


def duration(total_s: float) -> str:
    total_s = max(0.0, total_s)  # clocks may differ
    if total_s < 10:
        return f"{total_s:.2f} s"
    minutes, left_s = divmod(round(total_s), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (left_s, "s")]
    first = next((index for index, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number)
