"""Checks the URLs that clients give."""

import idna
import pycurl

from moon_vision_challenge.http_client.errors import RefusedURLError
from moon_vision_challenge.public_addresses import is_public

NOT_PUBLIC = "The URL leads to an address that is not public."


def check_url(url: str, *, allow_private: bool = False) -> None:
    """Raise RefusedURLError if no guarded request can go to this URL, whatever its host name resolves to."""
    read_url(url, allow_private=allow_private)


def host_of(url: str) -> str:
    """Return the host that a guarded request would go to, in a normal form, or "" if there is none."""
    try:
        return (read_url(url, allow_private=True).host or "").lower().rstrip(".")
    except RefusedURLError:
        return ""


def read_url(url: str, *, allow_private: bool) -> pycurl.CurlUrl:
    """Parse the URL with libcurl itself, so that no second parser can find another host in it."""
    try:
        parts = pycurl.CurlUrl(url.encode(), pycurl.U_URLENCODE | pycurl.U_NON_SUPPORT_SCHEME)
        if parts.host and not parts.host.isascii():
            parts.host = idna.encode(parts.host, uts46=True)
    except pycurl.error as error:
        raise RefusedURLError(f"The URL is not valid: {error.args[-1]}.") from error
    except ValueError as error:
        raise RefusedURLError("The URL is not valid: Bad hostname.") from error
    if parts.scheme not in ("http", "https"):
        raise RefusedURLError("The URL must begin with https:// or http://.")
    if parts.user is not None or parts.password is not None:
        raise RefusedURLError("The URL must not hold a user name or a password.")
    if parts.port is not None and int(parts.port) == 0:
        raise RefusedURLError("The URL's port must be a number from 1 to 65535.")
    if not allow_private and not _may_be_public(parts):
        raise RefusedURLError(NOT_PUBLIC)
    return parts


def _may_be_public(parts: pycurl.CurlUrl) -> bool:
    host = (parts.host or "").strip("[]")
    try:
        return is_public(f"{host}%{parts.zoneid}" if parts.zoneid else host)
    except ValueError:
        return True  # a name: the guard checks the addresses that it resolves to
