"""The address of the service and the token: from arguments, the environment, or the file that `login` writes."""

import json
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from moonvision.errors import MoonVisionError

DEFAULT_URL = "http://127.0.0.1:8000"


class Account(NamedTuple):
    url: str
    token: str


def path() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "moonvision" / "account.json"


def read(*, url: str | None = None, token: str | None = None) -> Account:
    """Return the account. A stored token is used only for the address it was stored with. Raises MoonVisionError."""
    stored = _read_stored()
    url = (url or os.environ.get("MOONVISION_URL") or stored.url or DEFAULT_URL).rstrip("/")
    _check_url(url)
    if token is None:
        token = os.environ.get("MOONVISION_TOKEN")
    if token is None:
        token = stored.token if url == stored.url else ""
    token = token.strip()  # a line break at the end of a file
    if not (token.isascii() and token.isprintable()):
        raise MoonVisionError("The token has characters that no token has. Copy it again.")
    return Account(url, token)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_complete = False
    if not is_complete:
        raise MoonVisionError(f"{url}: the address of the service begins with http:// or https://, followed by a host.")


def store(account: Account) -> None:
    """Store the account in a file that only the user can read."""
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump(account._asdict(), opened)
    new.replace(file)


def _read_stored() -> Account:
    try:
        stored = json.loads(path().read_text())
        return Account(str(stored["url"]), str(stored["token"]))
    except FileNotFoundError:
        return Account("", "")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MoonVisionError(f"{path()} cannot be read ({error}). Run: moonvision login") from error
