"""Decodes base64 in the forms that clients send."""

import pybase64

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n\v\f\x1c\x1d\x1e\x1f"
_BYTE_ORDER_MARK = "\ufeff"
_ESCAPED = {"%2B": "+", "%2F": "/", "%3D": "=", "%0D": "", "%0A": "", "%20": ""}
"""What base64 becomes in URL encoding. urllib's `unquote` would need many times the memory of the text."""


def decode_base64(text: str) -> bytes:
    """Decode strict base64 and a few of its variants.

    The variants are line breaks, blanks, missing padding, URL encoding, and the URL-safe alphabet (RFC 4648, 5).
    A leading byte order mark is ignored.

    Raises ValueError.
    """
    if "%" in text:
        text = _unescape(text)
    # Not str.split: text with many blanks would become a list of many strings, which takes twenty times the memory.
    data = _ascii(text).translate(_URL_SAFE, _BLANKS).rstrip(b"=")
    if len(data) % 4 == 1:
        raise ValueError("a character is missing")
    return pybase64.b64decode(data + b"=" * (-len(data) % 4), validate=True)


def _unescape(text: str) -> str:
    if 3 * text.count("%") > len(text):
        raise ValueError("a percent sign that does not escape a character")
    for escape, character in _ESCAPED.items():
        text = text.replace(escape, character)
    if "%" in text:
        for escape, character in _ESCAPED.items():
            text = text.replace(escape.lower(), character)
    return text


def _ascii(text: str) -> bytes:
    """Encode the text without the blanks that are not ASCII, such as no-break spaces."""
    while True:
        try:
            return text.encode("ascii")
        except UnicodeEncodeError as error:
            found = text[error.start]
            is_mark = found == _BYTE_ORDER_MARK and not text[: error.start].strip()
            if not (is_mark or found.isspace()):
                raise
            text = text.replace(found, "", 1 if is_mark else -1)
