"""What a schema cannot say about valid requests: which bytes are an image, which names exist."""

import base64
import io
from typing import Any

import schemathesis
from hypothesis import strategies as st
from PIL import Image

from native.readiness import MODEL


def picture(image_format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, image_format)
    return file.getvalue()


_PICTURES = st.sampled_from([picture(each) for each in ("PNG", "JPEG", "GIF", "WEBP")])

schemathesis.openapi.format("binary", _PICTURES)
schemathesis.openapi.format("byte", _PICTURES.map(lambda data: base64.b64encode(data).decode()))
schemathesis.openapi.format("uri", st.just("https://example.com/hook"))
schemathesis.openapi.media_type("image/*", _PICTURES)
schemathesis.openapi.media_type("application/octet-stream", _PICTURES)


_NAMES = ("version_label", "cursor")
"""Parameters whose valid values only the service knows."""


@schemathesis.hook
def before_call(_context: Any, case: "schemathesis.Case[Any]", _kwargs: dict[str, Any]) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    for name in _NAMES:
        case.query.pop(name, None)
    if isinstance(case.body, bytes):
        case.query["model_type"] = MODEL
        case.query.pop("webhook_url", None)
