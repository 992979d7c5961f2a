"""Formats log lines for people."""

import logging

_MAX_MESSAGE_CHARS = 2000


class LineFormatter(logging.Formatter):
    """Writes each event on one line, whatever a label or a path contains. Only tracebacks take more lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s%(context)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        message = record.message[:_MAX_MESSAGE_CHARS]
        record.message = message if message.isprintable() else _escaped(message)
        return super().formatMessage(record)


def _escaped(text: str) -> str:
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
