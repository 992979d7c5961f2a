"""The parts of the OpenAPI schema that drf-spectacular cannot read from the serializers."""

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import Direction, OpenApiParameter, OpenApiRequest, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound, UnsupportedMediaType

from moon_vision_challenge.classification import exceptions
from moon_vision_challenge.classification.api import examples
from moon_vision_challenge.classification.api.errors import explain_media_type, status_of
from moon_vision_challenge.classification.api.serializers import (
    IMAGE_URL,
    ImageSerializer,
    ImageUploadField,
    ModelTypeField,
)
from moon_vision_challenge.classification.remote_image import MAX_URL_LENGTH
from moon_vision_challenge.web.errors import MalformedBodyError, RequestTooLargeError, UnsupportedEncodingError
from moon_vision_challenge.web.openapi.refusals import Refusal, error_responses, refusal_of


def _refusal(error: exceptions.ClassificationError) -> Refusal:
    return Refusal(status_of(error), error.code, error.detail)


DATABASE = Refusal(503, "database_unavailable", "The database is not available. Try again later.")
_BODY = [
    refusal_of(MalformedBodyError("it is empty.")),
    Refusal(408, "request_timeout", "The request did not arrive in time. Send it faster, or in smaller parts."),
    refusal_of(RequestTooLargeError()),
    refusal_of(UnsupportedMediaType("text/plain", explain_media_type("text/plain"))),
    refusal_of(UnsupportedEncodingError("br", ["gzip", "deflate"])),
]
_IMAGE = [
    *map(
        _refusal,
        (
            exceptions.UnknownModelTypeError(),
            exceptions.UnknownVersionLabelError(),
            exceptions.VersionNotSelectableError(),
            exceptions.DecoderBusyError(),
            exceptions.ImageFetchBusyError(),
        ),
    )
]
_MODEL_SERVER = [
    *map(
        _refusal,
        (
            exceptions.InvalidPredictionError(),
            exceptions.ModelServerUnavailableError(),
            exceptions.ModelNotAvailableError(),
            exceptions.ModelVersionNotAvailableError(),
            exceptions.ModelServerTimeoutError(),
        ),
    )
]
_STORAGE = [*map(_refusal, (exceptions.StorageUnavailableError(), exceptions.StorageFullError()))]
_NO_INFERENCE = Refusal(404, "not_found", "No Inference matches the given query.")
_NO_MODEL = refusal_of(NotFound())
_INVALID_CHOICE = {"model_type": ['"dogs" is not a valid choice. Choose one of: efficientnet_lite0.']}
_INVALID_PAGE_SIZE = {"page_size": ["Ensure this value is less than or equal to 200."]}

CLASSIFY_ERRORS = error_responses([*_BODY, *_IMAGE, *_MODEL_SERVER], _INVALID_CHOICE)
CREATE_ERRORS = error_responses(
    [
        *_BODY,
        *_IMAGE,
        *_STORAGE,
        refusal_of(NotFound()),  # deleted while the request waited
        *map(_refusal, (exceptions.IdempotencyConflictError(), exceptions.QueueFullError(5))),
        DATABASE,
    ],
    _INVALID_CHOICE,
)
ROW_ERRORS = error_responses([_NO_INFERENCE, DATABASE])
CANCEL_ERRORS = error_responses([_NO_INFERENCE, _refusal(exceptions.InferenceNotPendingError()), DATABASE])
DELETE_ERRORS = error_responses(
    [
        _NO_INFERENCE,
        *map(_refusal, (exceptions.InferenceInProgressError(), exceptions.StorageUnavailableError())),
        DATABASE,
    ]
)
LIST_ERRORS = error_responses([DATABASE], _INVALID_PAGE_SIZE)
MODEL_ERRORS = error_responses([_NO_MODEL])


@extend_schema_field(OpenApiTypes.BYTE)
class ImageText(serializers.CharField):
    """An image in JSON."""


def image_request(serializer_class: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """Return the forms of a request with an image: a file in multipart/form-data, text in JSON, or the whole body."""
    fields = {name: field for name, field in serializer_class._declared_fields.items() if not field.read_only}
    fields["image"] = ImageText(help_text="The file in base64, or as a data URI: data:image/jpeg;base64,...")
    name = serializer_class.__name__.replace("Serializer", "AsTextSerializer")
    as_text = type(name, (ImageSerializer,), {**fields, "__doc__": serializer_class.__doc__})
    body = OpenApiTypes.BINARY
    return {
        "multipart/form-data": serializer_class,
        "application/json": OpenApiRequest(as_text, examples=examples.REQUEST),
        "image/*": body,
        "application/octet-stream": body,
    }


_IMAGE_URL = {
    "type": "string",
    "format": "uri",
    "minLength": 1,
    "maxLength": MAX_URL_LENGTH,
    "description": "Instead of `image`, if the operator allows it: the service fetches the image from here.",
}
_PRINTABLE = {"type": "string", "pattern": '^(?!""$)([!-~]([ -~]{0,253}[!-~])?|"[ -~]{1,255}")$'}

MODEL_TYPE_OF_BODY = OpenApiParameter(
    "model_type", description="Required if the body is the image itself (`image/*`, `application/octet-stream`)."
)
WEBHOOK_URL_OF_BODY = OpenApiParameter(
    "webhook_url", description="The form field of the same name, for a body that is the image itself."
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    _PRINTABLE,
    "header",
    description="1 to 255 printable ASCII characters, with or without quotes around them. A repeated POST with "
    "the same key creates one inference.",
)
PREFER = OpenApiParameter(
    "Prefer", location="header", description="`wait=N`: answer when the inference is final, or after N seconds."
)
CACHE_CONTROL = OpenApiParameter(
    "Cache-Control",
    location="header",
    description="For the result cache: `no-cache` always runs the model, `no-store` also caches nothing, and "
    "`max-age=N` accepts a cached result that is at most N seconds old.",
)
IF_NONE_MATCH_OF_CATALOGUE = OpenApiParameter(
    "If-None-Match", location="header", description="An earlier `ETag`. If it still matches, the answer is 304."
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", location="header", description="The `ETag` of a final inference. If it matches, the answer is 304."
)
INFERENCE_ID = OpenApiParameter(
    "id", {"type": "integer", "format": "int64", "minimum": 1}, "path", description="The `id` that POST returned."
)


def headers_of_row(*statuses: int) -> list[OpenApiParameter]:
    """Return the headers of a response that shows an inference."""
    return [
        _header("Preference-Applied", statuses, "`wait=N`: the service waited, for up to N seconds."),
        _header("Retry-After", statuses, "The inference is not final. Request it again after this many seconds.", int),
        _header("ETag", statuses, "The version of the inference, if it is final."),
    ]


def headers_of_reuse(*statuses: int) -> list[OpenApiParameter]:
    """Return the headers of a response while the result cache is on."""
    return [
        _header(
            "Cache-Status", statuses, "How the result cache handled the request (RFC 9211), while the cache is on."
        ),
        _header("Age", statuses, "The age of a cached result, in seconds.", int),
    ]


def headers_of_catalogue() -> list[OpenApiParameter]:
    return [
        IF_NONE_MATCH_OF_CATALOGUE,
        _header("ETag", (200, 304), "The version of the response. Not sent for HEAD."),
        _header("Cache-Control", (200, 304), "How long the response may be reused.", required=True),
    ]


def location(*statuses: int) -> OpenApiParameter:
    return _header("Location", statuses, "The URL of the inference.", OpenApiTypes.URI, required=True)


def etag(*statuses: int) -> OpenApiParameter:
    return _header("ETag", statuses, "The version of the final inference.", required=True)


def _header(
    name: str, statuses: tuple[int, ...], description: str, type_: Any = str, *, required: bool = False
) -> OpenApiParameter:
    return OpenApiParameter(name, type_, "header", required, response=[*statuses], description=description)


class ImageOrURLSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """A request has either an image or its URL. Only text says so, because `oneOf` makes generated clients useless."""

    target_class = ImageSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        usual = auto_schema._map_serializer
        found: dict[str, Any] = usual(self.target, direction, bypass_extensions=True)  # type: ignore[no-untyped-call]
        if direction == "response":
            return found
        return {
            **found,
            "properties": {**found["properties"], IMAGE_URL: _IMAGE_URL},
            "required": [name for name in found["required"] if name != "image"],
        }


class ImageSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """The image can be null: if a file of a job is not an image, its row has no image."""

    target_class = ImageUploadField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        usual = auto_schema._map_serializer_field
        found: dict[str, Any] = usual(self.target, direction, bypass_extensions=True)  # type: ignore[no-untyped-call]
        return {**found, "type": ["string", "null"]} if direction == "response" else found


class ModelTypeSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A request chooses one of the registered types. A row may have one that was registered earlier."""

    target_class = ModelTypeField

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        if direction == "response":
            return {"type": "string"}
        choices = auto_schema._map_serializer_field
        found: dict[str, Any] = choices(self.target, direction, bypass_extensions=True)  # type: ignore[no-untyped-call]
        return found
