"""Formats log lines as JSON, for log collectors."""

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

_MAX_MESSAGE_CHARS = 2000


class JSONFormatter(OrjsonFormatter):
    """Writes `time`, `level`, `logger`, `message`, the ids of the request and the inference, and the event's fields."""

    def __init__(self) -> None:
        super().__init__(
            "{asctime}{levelname}{name}{message}",
            style="{",
            datefmt="%Y-%m-%dT%H:%M:%S%z",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "context", "request"],
        )

    def process_log_record(self, log_data: dict[str, object]) -> dict[str, object]:
        """Omit ids that do not apply, and truncate the message, which a client may have made long."""
        present = {name: value for name, value in log_data.items() if value is not None}
        present["message"] = str(present.get("message", ""))[:_MAX_MESSAGE_CHARS]
        return present
