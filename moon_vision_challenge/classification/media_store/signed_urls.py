"""Signs the URLs of uploaded images. Anyone who has a URL may see the image until the URL expires.

Time is divided into windows of MEDIA_URL_VALID_S, the first of which begins when the row is created. Within a window,
the URL stays the same. It is valid until the end of the next window.
"""

import time
from datetime import datetime

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.utils.encoding import filepath_to_uri

_SALT = "moon_vision_challenge.media"
clock = time.time


class AddressExpiredError(Exception):
    """The URL was valid, but has expired."""


def sign(name: str, created_at: datetime | None) -> str:
    """Return the URL of a file: a path with a query."""
    expires = _expires_at(created_at)
    signature = _signer().signature(_signed(name, f"{expires}"))
    return f"{settings.MEDIA_URL}{filepath_to_uri(name)}?expires={expires}&signature={signature}"


def window_of(created_at: datetime | None) -> int:
    """Return the number of the row's current window. Clocks may differ: a row from the future is in window 0."""
    begin = created_at.timestamp() if created_at else 0
    return max(0, int((clock() - begin) // settings.MEDIA_URL_VALID_S))


def check(name: str, expires: str, signature: str) -> int:
    """Return how many seconds the URL is still valid.

    The comparison takes constant time, and accepts signatures made with the SECRET_KEY_FALLBACKS.

    Raises:
        BadSignature: the URL is incomplete, or this service did not issue it.
        AddressExpiredError: the URL has expired.
    """
    signer = _signer()
    signer.unsign(f"{_signed(name, expires)}{signer.sep}{signature}")
    left_s = int(expires) - int(clock())
    if left_s <= 0:
        raise AddressExpiredError
    return left_s


def _expires_at(created_at: datetime | None) -> int:
    begin = int(created_at.timestamp()) if created_at else 0
    return begin + 1 + (window_of(created_at) + 2) * int(settings.MEDIA_URL_VALID_S)


def _signed(name: str, expires: str) -> str:
    return f"{expires} {name}"


def _signer() -> Signer:
    return Signer(salt=_SALT)  # created each time, because the keys are settings


__all__ = ["AddressExpiredError", "BadSignature", "check", "sign", "window_of"]
