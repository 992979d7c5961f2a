"""Writes a log line for each change of permissions and each deletion. No line contains an image or a secret."""

import json
import logging

from moon_vision_challenge.accounts.caller import Caller

logger = logging.getLogger("audit")


def record(action: str, *, actor: "str | Caller", **about: object) -> None:
    """Log an action such as `token.create`, who performed it, and what it concerns."""
    who = _name(actor) if isinstance(actor, Caller) else actor
    line = json.dumps({"action": action, "actor": who, **about}, default=str)
    logger.info("%s", line, extra={"audit": json.loads(line)})  # JSON logs show it as an object


def _name(caller: Caller) -> str:
    return "anonymous" if caller.is_anonymous else f"token:{caller.token_id}:{caller.token_name}"
