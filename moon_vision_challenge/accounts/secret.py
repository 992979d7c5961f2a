"""The text of an API token: `mvc_`, 43 random characters, and a checksum of 6.

The prefix lets scanners find leaked tokens. The checksum distinguishes a typo from an unknown token without a query.
https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
"""

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "mvc_"
SHOWN_CHARS = len(PREFIX) + 6
"""The number of characters of a token that are stored, to recognize it."""
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARS = 43  # 62 ** 43 is more than 2 ** 256
_CHECKSUM_CHARS = 6  # 62 ** 6 is more than 2 ** 32
_FORM = re.compile(f"{PREFIX}[0-9A-Za-z]{{{_RANDOM_CHARS + _CHECKSUM_CHARS}}}", re.ASCII)


def new_token() -> str:
    """Return a token with 256 random bits."""
    text = PREFIX + _base62(secrets.randbits(256), _RANDOM_CHARS)
    return text + _checksum(text)


def is_well_formed(token: str) -> bool:
    """Return whether the text could be a token, by its length, characters, and checksum."""
    return bool(_FORM.fullmatch(token)) and token[-_CHECKSUM_CHARS:] == _checksum(token[:-_CHECKSUM_CHARS])


def digest(token: str) -> str:
    """Return what is stored instead of the token: its SHA-256, in hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECKSUM_CHARS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
