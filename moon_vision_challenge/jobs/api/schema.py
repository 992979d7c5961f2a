"""The parts of the OpenAPI schema that drf-spectacular cannot read from the serializers."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import APIException, NotFound, UnsupportedMediaType

from moon_vision_challenge.classification import exceptions
from moon_vision_challenge.classification.api.errors import explain_media_type
from moon_vision_challenge.classification.api.schema import DATABASE, IDEMPOTENCY_KEY, PREFER
from moon_vision_challenge.jobs import errors
from moon_vision_challenge.jobs.api.parsers import PARSERS, FormParser
from moon_vision_challenge.jobs.api.serializers import JobUploadSerializer
from moon_vision_challenge.web.errors import MalformedBodyError, UnsupportedEncodingError
from moon_vision_challenge.web.openapi.refusals import Refusal, error_responses, refusal_of

REQUEST = {
    parser.media_type: JobUploadSerializer if parser is FormParser else OpenApiTypes.BINARY for parser in PARSERS
}
JOB_ID = OpenApiParameter(
    "id", {"type": "integer", "format": "int64", "minimum": 1}, "path", description="The `id` that POST returned."
)
_NO_JOB = Refusal(404, "not_found", "No Job matches the given query.")
_REASONS: list[APIException] = [
    MalformedBodyError("it is empty."),
    errors.EmptyJobError(),
    errors.UnreadableArchiveError("it is of an unknown format."),
    errors.UploadTooLargeError(),
    errors.JobTooLargeError(),
    UnsupportedMediaType("text/plain", explain_media_type("text/plain")),
    UnsupportedEncodingError("br", ["a compressed archive"]),
    errors.JobConflictError(),
    errors.TooManyWaitingError(),
    NotFound(),  # deleted while the request waited
]
_STORAGE = [
    Refusal(503, error.code, error.detail)
    for error in (exceptions.StorageUnavailableError(), exceptions.StorageFullError())
]
_TOO_SLOW = Refusal(408, "request_timeout", "The body did not arrive in time. Send it faster, or in smaller parts.")
CREATE_ERRORS = error_responses(
    [*map(refusal_of, _REASONS), *_STORAGE, _TOO_SLOW, DATABASE],
    {"model_type": ['"dogs" is not a valid choice. Choose one of: efficientnet_lite0.']},
)
ROW_ERRORS = error_responses([_NO_JOB, DATABASE])
CANCEL_ERRORS = error_responses([_NO_JOB, refusal_of(errors.JobNotRunningError()), DATABASE])
LIST_ERRORS = error_responses([DATABASE], {"page_size": ["Ensure this value is less than or equal to 200."]})
RESULT_ERRORS = error_responses([_NO_JOB, DATABASE], {"after": ["A valid integer is required."]})
JSONL: dict[Any, Any] = {(200, "application/jsonl"): OpenApiTypes.STR}
CSV: dict[Any, Any] = {(200, "text/csv"): OpenApiTypes.STR}
DISPOSITION = OpenApiParameter(
    "Content-Disposition", location="header", response=[200], description="A file name for the results."
)


def headers_of_job(*statuses: int) -> list[OpenApiParameter]:
    """Return the headers of a response that shows a job."""
    applied = "`wait=N`: the service waited, for up to N seconds."
    retry = "The job is not final. Request it again after this many seconds."
    return [
        OpenApiParameter("Preference-Applied", location="header", response=[*statuses], description=applied),
        OpenApiParameter("Retry-After", int, "header", response=[*statuses], description=retry),
    ]


def location(*statuses: int) -> OpenApiParameter:
    return OpenApiParameter(
        "Location", OpenApiTypes.URI, "header", required=True, response=[*statuses], description="The URL of the job."
    )


__all__ = ["IDEMPOTENCY_KEY", "PREFER"]
