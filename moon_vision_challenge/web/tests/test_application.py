import io
from typing import Any

import pytest

from moon_vision_challenge.web.application import Application


@pytest.mark.parametrize(
    ("header", "content_type", "encoding"),
    [
        ("Multipart/Form-Data; boundary=B", "multipart/form-data", None),
        (" text/plain ;charset=latin-1", "text/plain", "latin-1"),
        ("text/plain; charset*=utf-8''latin-1", "text/plain", "latin-1"),
        ("text/plain; charset=unknown", "text/plain", None),
        ("", "", None),
    ],
)
def test_content_type_is_read_as_django_reads_it(header: str, content_type: str, encoding: str | None) -> None:
    environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": header, "wsgi.input": io.BytesIO()}
    requests = [made(dict(environ)) for made in (Application.request_class, *Application.request_class.__mro__[1:2])]
    assert [(each.content_type, each.encoding) for each in requests] == [(content_type, encoding)] * 2
