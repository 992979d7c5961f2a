"""Parses the part of the protocol-buffer text format that configuration files use.

https://protobuf.dev/reference/protobuf/textformat-spec/
"""

import re
from dataclasses import dataclass
from typing import NamedTuple


class ConfigError(ValueError):
    """The file contains a mistake. The message says what it is and where."""


class Scalar(NamedTuple):
    """A quoted string, or a bare word: an identifier or a number."""

    text: str
    quoted: bool


@dataclass
class Field:
    name: str
    value: "Scalar | list[Field]"
    line: int


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)
      | (?P<newline>\n)
      | (?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
      | (?P<word>[A-Za-z0-9_.+-]+)
      | (?P<symbol>[{}<>:\[\],;])""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_CLOSING = {"{": "}", "<": ">"}
_MAX_DEPTH = 100  # same as the parser of the Protocol Buffers library


def _unquote(token: _Token) -> str:
    def replace(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPES:
            raise ConfigError(f"line {token.line}: unknown escape \\{match[1]} in a string")
        return _ESCAPES[match[1]]

    return re.sub(r"\\(.)", replace, token.text[1:-1])


def _tokenize(text: str) -> list[_Token]:
    tokens, position, line = [], 0, 1
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ConfigError(f"line {line}: unexpected {text[position]!r}")
        kind = str(match.lastgroup)
        if kind == "newline":
            line += 1
        elif kind != "space":
            tokens.append(_Token(kind, match[0], line))
        position = match.end()
    return [*tokens, _Token("end", "the end of the file", line)]


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokenize(text)
        self._position = 0
        self._depth = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._position]

    def _take(self, *texts: str) -> bool:
        """Step over the next token if it is one of these symbols."""
        if self._next.kind == "symbol" and self._next.text in texts:
            self._position += 1
            return True
        return False

    def _fail(self, expected: str) -> ConfigError:
        return ConfigError(f"line {self._next.line}: expected {expected}, found {self._next.text}")

    def fields(self, closing: str = "") -> list[Field]:
        """Parse the fields up to the closing bracket or the end of the file."""
        fields: list[Field] = []
        while not (self._take(closing) if closing else self._next.kind == "end"):
            if self._next.kind != "word":
                raise self._fail(f"a field name or {closing}" if closing else "a field name")
            name = self._next
            self._position += 1
            colon = self._take(":")
            if self._take("["):
                fields += self._list(name)
            else:
                fields.append(Field(name.text, self._value(colon=colon), name.line))
            self._take(",", ";")
        return fields

    def _message(self, closing: str) -> list[Field]:
        if self._depth == _MAX_DEPTH:
            raise ConfigError(f"line {self._next.line}: messages are nested more than {_MAX_DEPTH} deep")
        self._depth += 1
        fields = self.fields(closing)
        self._depth -= 1
        return fields

    def _list(self, name: _Token) -> list[Field]:
        if self._take("]"):
            return []
        values = [Field(name.text, self._value(colon=True), name.line)]
        while self._take(","):
            values.append(Field(name.text, self._value(colon=True), name.line))
        if not self._take("]"):
            raise self._fail("] or ,")
        return values

    def _value(self, *, colon: bool) -> Scalar | list[Field]:
        opening = self._next.text
        if self._take(*_CLOSING):
            return self._message(_CLOSING[opening])
        if not colon:
            raise self._fail(": or {")
        if self._next.kind == "word":
            self._position += 1
            return Scalar(opening, quoted=False)
        parts = []
        while self._next.kind == "string":  # adjacent strings are one string, as in C
            parts.append(_unquote(self._next))
            self._position += 1
        if not parts:
            raise self._fail("a value")
        return Scalar("".join(parts), quoted=True)


def parse_text_format(text: str) -> list[Field]:
    """Return the fields of the outermost message, in order. A repeated field occurs once for each value.

    Raises ConfigError.
    """
    return _Parser(text).fields()
