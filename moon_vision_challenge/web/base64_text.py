"""Decodes base64 in the forms that clients send."""

import pybase64

_URL_SAFE = str.maketrans("-_", "+/")


def decode_base64(text: str) -> bytes:
    """Accepts line breaks, blanks, missing padding and the URL-safe alphabet (RFC 4648, 5), and nothing else.

    Raises ValueError.
    """
    text = "".join(text.split()).rstrip("=")
    if "-" in text or "_" in text:
        text = text.translate(_URL_SAFE)
    if len(text) % 4 == 1:
        raise ValueError("a character is missing")
    return pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
