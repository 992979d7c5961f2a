"""Request bodies in the many forms that clients send."""

import base64
import gzip
import io
import zlib
from typing import Any
from urllib.parse import quote

import pytest
from django.test import RequestFactory
from pytest_django import Settings
from rest_framework.exceptions import APIException

from moon_vision_challenge.web.base64_text import decode_base64
from moon_vision_challenge.web.errors import MalformedBodyError, RequestTooLargeError, UnsupportedEncodingError
from moon_vision_challenge.web.parsers import FormDataParser, ORJSONParser

BINARY = b"\xff\xd8\xff\xe0\x00\r\n--"
FIELD = 'Content-Disposition: form-data; name="x"'
FILE = FIELD + '; filename="a.jpg"'
FORM = "multipart/form-data; boundary=B"
JPEG = "Content-Type: image/jpeg"


def parse_form(body: bytes, content_type: str = FORM, encoding: str = "") -> Any:
    context = {"request": RequestFactory().post("/", b"", "text/plain", HTTP_CONTENT_ENCODING=encoding)}
    return FormDataParser().parse(io.BytesIO(body), content_type, context)


def parse_json(body: bytes, encoding: str = "") -> Any:
    context = {"request": RequestFactory().post("/", b"", "text/plain", HTTP_CONTENT_ENCODING=encoding)}
    return ORJSONParser().parse(io.BytesIO(body), "application/json", context)


def part(*headers: str, content: bytes) -> bytes:
    head = "\r\n".join(headers).encode("latin-1")
    return b"--B\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--B--\r\n"


def value_of(*headers: str, content: bytes) -> Any:
    return parse_form(form(part(*headers, content=content)))["x"]


@pytest.mark.parametrize(
    "headers",
    [
        (FILE, JPEG),
        (FILE,),
        (FIELD, JPEG),  # Retrofit; .NET's ByteArrayContent with a type
        (FIELD, "Content-Type: application/octet-stream"),
        (FIELD,),  # .NET's ByteArrayContent
        ("Content-Disposition: form-data; name=x; filename=a.jpg; filename*=utf-8''a.jpg", JPEG),
        (FIELD + "; filename*=UTF-8''%E2%82%AC.jpg", JPEG),
        (FIELD + '; filename="=?utf-8?B?5Zu+54mHLmpwZw==?="', JPEG),
        (FIELD + '; filename="\xcd\xbc\xc6\xac.jpg"', JPEG),  # GBK
        (FIELD + '; filename="bl\xe5.jpg"', JPEG),  # Latin-1
        (FIELD + '; filename="C:\\"', JPEG),
        (FIELD + '; filename=".."', JPEG),
        (FIELD + '; filename="/"', JPEG),
        (FIELD + '; filename="' + "a" * 3000 + '"', JPEG),
        ('content-disposition: form-data; name="x"; filename="a.jpg"', "content-type: image/jpeg", "X-Other: 1"),
        (FILE, JPEG, "Content-Transfer-Encoding: binary"),
    ],
)
def test_a_file_part_is_a_file_regardless_of_its_content_type(headers: tuple[str, ...]) -> None:
    assert value_of(*headers, content=BINARY) == BINARY


def test_a_part_in_base64_or_quoted_printable_is_decoded() -> None:
    lines = base64.encodebytes(BINARY * 100)
    assert value_of(FILE, "Content-Transfer-Encoding: BASE64", content=lines) == BINARY * 100
    assert value_of(FIELD, "Content-Transfer-Encoding: base64", content=b"cmVzbmV0") == "resnet"
    for lenient in (lines.replace(b"=", b""), base64.urlsafe_b64encode(BINARY * 100)):
        assert value_of(FILE, "Content-Transfer-Encoding: base64", content=lenient) == BINARY * 100
    assert value_of(FIELD, "Content-Transfer-Encoding: quoted-printable", content=b"res=6Eet") == "resnet"


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ((FIELD,), b"resnet"),
        ((FIELD, "Content-Type: text/plain; charset=utf-8"), b"resnet"),
        ((FIELD, "Content-Type: text/plain; charset=utf-16"), "resnet".encode("utf-16")),
        ((FIELD, "Content-Type: application/json; charset=UTF-8"), b'"resnet"'),
        ((FIELD, "Content-Type: application/json"), b"resnet"),
        ((FIELD, 'Content-Type: text/plain; charset="UTF-8"'), b"resnet"),
        *(
            ((FIELD, f"Content-Type: text/plain; charset={charset}"), b"resnet")
            for charset in ("klingon", "base64", "rot13", '"a\0b"', "utf-32", "x" * 2000, "undefined")
        ),
    ],
)
def test_a_text_field_is_one_in_each_of_its_forms(headers: tuple[str, ...], content: bytes) -> None:
    assert value_of(*headers, content=content) == "resnet"


def test_long_text_is_utf8_whatever_its_charset() -> None:
    """Decoding punycode takes time that grows with the square of the length."""
    assert value_of(FIELD, "Content-Type: text/plain; charset=punycode", content=b"a" * 300_000) == "a" * 300_000


def test_a_file_field_that_was_left_empty_is_not_there() -> None:
    empty = part(FIELD + '; filename=""', "Content-Type: application/octet-stream", content=b"")
    assert "x" not in parse_form(form(empty))


A = part(FIELD, content=b"a")


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (form(A), "multipart/form-data", "its Content-Type has no boundary. Let your HTTP client"),
        (form(A), "multipart/form-data; boundary=C", "names is not in it"),
        (b"", FORM, "it is empty"),
        (b"rubbish", FORM, "names is not in it"),
        (A, FORM, "cut short"),
        (form(part("X-Other: 1", content=b"a")), FORM, "no Content-Disposition"),
        (form(part(FIELD, *(f"X-{number}: 1" for number in range(9)), content=b"a")), FORM, "more than 8 headers"),
        (form(part(FIELD, "X-Other: " + "a" * 5000, content=b"a")), FORM, "a header of more than 4,000 bytes"),
        (form(*[A] * 30), FORM, "more than 20 fields"),
        (form(part(FIELD, "Content-Transfer-Encoding: base64", content=b"!")), FORM, "is not base64"),
        (form(A), "multipart/form-data; boundary=\u00e9", "the boundary in its Content-Type is not valid"),
        (form(A).replace(b"\r\n", b"\n"), FORM, "its lines end in LF alone. End them in CRLF."),
        (form(A).replace(b"\r\n", b"\n").replace(b"--B\n", b"--B\r\n", 1), FORM, "in LF alone"),
        (form(A).replace(b"--B\r\n", b"--B \r\n", 1), FORM, "other than CRLF follows the first boundary"),
        (b"junk" + form(A), FORM, "the first boundary does not begin a line"),
        (form(A, A).replace(b"a\r\n--B\r\n", b"a\r\n--B \r\n"), FORM, "other than CRLF follows a boundary"),
        (form(part("Content-Disposition: attachment; name=x", content=b"a")), FORM, "other than form-data"),
        (form(part(FIELD, "no colon", content=b"a")), FORM, "a header line without a colon"),
        (form(part(FIELD, "Content-Type: multipart/mixed; boundary=C", content=b"a")), FORM, "a form itself"),
        (
            form(part(FIELD, "Content-Transfer-Encoding: uuencode", content=b"a")),
            FORM,
            "unknown Content-Transfer",
        ),
    ],
)
def test_a_malformed_form_is_answered_with_the_reason(body: bytes, content_type: str, reason: str) -> None:
    with pytest.raises(MalformedBodyError) as raised:
        parse_form(body, content_type)
    assert str(raised.value.detail).startswith("The body is malformed: ")
    assert reason in str(raised.value.detail)


def test_json_may_have_a_byte_order_mark() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is empty"),
        (b'{\n "a": 1,\n}', "it is not valid JSON (line 2, column"),
        (b'{"a": "\xff"}', "it is not UTF-8 (byte 8)"),
        ('{"a": 1}'.encode("utf-16"), "it is not UTF-8, but UTF-16"),
        ('{"a": 1}'.encode("utf-16-be"), "it is not UTF-8, but UTF-16"),
        ('{"a": 1}'.encode("utf-32-le"), "it is not UTF-8, but UTF-32"),
        (b'{"a": NaN}', "it is not valid JSON (line 1, column"),
        (b'{"a": 1e999}', "it is not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "it is not valid JSON"),
        (b'{"a": 1} {"a": 1}', "it is not valid JSON"),
        (b'{"a": "\\ud800"}', "it is not valid JSON"),
        (b"[" * 10 + b"]" * 10, "nested more than 8 levels deep"),
        (b'{"a":' * 100_000, "more than 10,000 values"),
        (b"[" + b"1," * 20_000 + b"1]", "more than 10,000 values"),
    ],
)
def test_malformed_json_is_answered_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedBodyError) as raised:
        parse_json(body)
    assert reason in str(raised.value.detail)


def in_two_members(body: bytes) -> bytes:
    return gzip.compress(body[:3]) + gzip.compress(body[3:])


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("GZIP", in_two_members), ("deflate", zlib.compress)]
)
def test_a_compressed_body_is_decompressed(encoding: str, compress: Any) -> None:
    assert parse_json(compress(b'{"a": 1}'), encoding) == {"a": 1}
    assert parse_form(compress(form(A)), encoding=encoding)["x"] == "a"


@pytest.mark.parametrize(
    ("encoding", "body", "error"),
    [
        ("br", b"{}", UnsupportedEncodingError),
        ("gzip, gzip", b"{}", UnsupportedEncodingError),
        ("x" * 10_000, b"{}", UnsupportedEncodingError),
        ("gzip", b"{}", MalformedBodyError),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4], MalformedBodyError),
        ("gzip", gzip.compress(bytes(2_000_000), mtime=0), RequestTooLargeError),
        ("gzip", gzip.compress(bytes(600_000), mtime=0) * 2, RequestTooLargeError),
    ],
)
def test_a_body_that_cannot_be_decompressed_is_refused_by_name(
    settings: Settings, encoding: str, body: bytes, error: type[APIException]
) -> None:
    settings.MAX_REQUEST_BODY_BYTES = 1_000_000
    with pytest.raises(error) as raised:
        parse_json(body, encoding)
    assert len(str(raised.value.detail)) < 300


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_base64_is_decoded_in_each_form_that_people_send(data: bytes) -> None:
    standard = base64.b64encode(data).decode()
    url_safe = base64.urlsafe_b64encode(data).decode()
    broken = base64.encodebytes(data).decode().replace("\n", "\r\n ")
    escaped = quote(broken, safe="")
    forms = (standard, standard.rstrip("="), url_safe, url_safe.rstrip("="), broken, f"  {standard}\n\t")
    for text in (*forms, escaped, escaped.replace("%0D%0A", "%0d%0a"), "\ufeff" + standard):
        assert decode_base64(text) == data


@pytest.mark.parametrize("text", ["a", "aaaaa", "a!b=", "%41%41", "YQ\ufeff==", "\u00e9\u00e9\u00e9\u00e9", "YQ==YQ=="])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the library's
        decode_base64(text)
