"""The parts of the OpenAPI schema that drf-spectacular cannot read from the serializers."""

from collections.abc import Iterable
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from moon_vision_challenge.classification.api.serializers import HistoryQuerySerializer

Error = inline_serializer("Error", {"detail": serializers.CharField(), "code": serializers.CharField()})

_RETRY_AFTER = " Try again after the number of seconds in `Retry-After`."

TOO_MANY_REQUESTS = {
    429: OpenApiResponse(Error, description="Too many requests from this address." + _RETRY_AFTER),
}


def _field_errors(name: str, fields: Iterable[str]) -> serializers.Serializer[Any]:
    sentences: dict[str, serializers.Field[Any, Any, Any, Any]] = {
        field: serializers.ListField(child=serializers.CharField(), required=False) for field in fields
    }
    return inline_serializer(name, sentences)


_INPUT_FIELDS = (
    "model_type",
    "image",
    "version",
    "version_label",
    "top_k",
    "webhook_url",
    "image_url",
    "non_field_errors",
)
BAD_INPUT = {
    400: OpenApiResponse(
        _field_errors("FieldErrors", _INPUT_FIELDS),
        description="A field is missing or invalid: a list of messages per field. "
        "If the body is malformed: `detail` and `code`.",
    ),
    408: OpenApiResponse(Error, description="The request arrived too slowly."),
    413: OpenApiResponse(Error, description="The image is too large."),
    415: OpenApiResponse(Error, description="The Content-Type is not one of those listed."),
    **TOO_MANY_REQUESTS,
}
MODEL_SERVER_ERRORS = {
    502: OpenApiResponse(Error, description="The model returned an unusable answer."),
    503: OpenApiResponse(Error, description="The model server or the model is not available." + _RETRY_AFTER),
    504: OpenApiResponse(Error, description="The model did not answer in time."),
}
DATABASE_ERRORS = {503: OpenApiResponse(Error, description="The database is not available." + _RETRY_AFTER)}
NOT_FOUND = {404: OpenApiResponse(Error, description="The inference does not exist.")}


def image_request(serializer_class: type[serializers.Serializer[Any]]) -> dict[str, Any]:
    """A request with an image: a file in multipart/form-data, text in JSON with the same fields, or the whole body."""
    fields = {name: field for name, field in serializer_class._declared_fields.items() if not field.read_only}
    fields["image"] = serializers.CharField(
        help_text="The file in base64, or as a data URI: data:image/jpeg;base64,..."
    )
    as_text = inline_serializer(serializer_class.__name__.replace("Serializer", "AsText"), fields)
    body = OpenApiTypes.BINARY
    return {
        "multipart/form-data": serializer_class,
        "application/json": as_text,
        "image/*": body,
        "application/octet-stream": body,
    }


BAD_QUERY = {
    400: OpenApiResponse(
        _field_errors("QueryErrors", [*HistoryQuerySerializer().fields, "cursor"]),
        description="A filter is invalid: a list of messages per filter.",
    )
}
NOT_PENDING = {409: OpenApiResponse(Error, description="A worker has claimed the inference, or it is final.")}
IN_PROGRESS = {409: OpenApiResponse(Error, description="A worker is processing the inference.")}
DELETE_ERRORS = {
    503: OpenApiResponse(Error, description="The database or the image store is not available." + _RETRY_AFTER)
}
IDEMPOTENCY_CONFLICT = {
    422: OpenApiResponse(Error, description="The Idempotency-Key was used for a different request.")
}
QUEUE_ERRORS = {
    503: OpenApiResponse(Error, description="The queue is full, or the database is not available." + _RETRY_AFTER)
}

MODEL_TYPE_OF_BODY = OpenApiParameter(
    "model_type", description="Required if the body is the image itself (`image/*`, `application/octet-stream`)."
)
WEBHOOK_URL_OF_BODY = OpenApiParameter(
    "webhook_url", OpenApiTypes.URI, description="As in the form, if the body is the image itself."
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", location="header", description="A repeated POST with the same key creates one inference."
)
PREFER = OpenApiParameter(
    "Prefer", location="header", description="`wait=N`: answer when the inference is final, or after N seconds."
)
PREFERENCE_APPLIED = OpenApiParameter(
    "Preference-Applied", location="header", response=[200, 201], description="The wait that the service applied."
)
RETRY_AFTER = OpenApiParameter(
    "Retry-After",
    location="header",
    response=[200],
    description="Seconds to wait before the next request. Only while the inference is not final.",
)
ETAG = OpenApiParameter("ETag", location="header", response=[200], description="Only once the inference is final.")
LOCATION = OpenApiParameter("Location", location="header", response=[201], description="The URL of the inference.")
INFERENCE_ID = OpenApiParameter("id", int, "path", description="The `id` that POST returned.")
