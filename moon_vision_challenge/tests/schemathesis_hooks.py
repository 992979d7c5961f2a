"""What a schema cannot say about valid requests: which bytes are an image, which names exist."""

import base64
import io
import os
from typing import Any

import schemathesis
from hypothesis import strategies as st
from PIL import Image

from native.readiness import MODEL

PICTURE_URL = "SCHEMATHESIS_PICTURE_URL"
"""The environment variable with the URL of a picture. The URL serves for webhooks, too."""


def picture(image_format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(file, image_format)
    return file.getvalue()


_PICTURES = st.sampled_from([picture(each) for each in ("PNG", "JPEG", "GIF", "WEBP")])

schemathesis.openapi.format("binary", _PICTURES)
schemathesis.openapi.format("byte", _PICTURES.map(lambda data: base64.b64encode(data).decode()))
schemathesis.openapi.format("uri", st.just(os.environ[PICTURE_URL]))
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
    if isinstance(case.body, dict) and case.path.endswith("/inferences/"):
        _name_one_image(case.body)
    if isinstance(case.body, bytes):
        case.query["model_type"] = MODEL
        case.query.pop("webhook_url", None)


def _name_one_image(body: dict[str, Any]) -> None:
    """Keep `image` or `image_url`, not both. Schemathesis also tries URLs from responses, which lead to no picture."""
    if "image_url" in body or "image" not in body:
        body.pop("image", None)
        body["image_url"] = os.environ[PICTURE_URL]
