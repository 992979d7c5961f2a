"""Why a job is not accepted, or one of its entries is not classified."""

from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException


class EntryError(Exception):
    """This entry of the archive becomes an item with an error. The other entries are not affected."""

    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(f"{code}: {detail}")

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "detail": self.detail}


class UnreadableArchiveError(APIException):
    """The archive is of an unknown format, damaged, or cut short."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "unreadable_archive"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The archive cannot be read: {reason} Send a valid zip, tar, or tar.gz file.")


class EmptyJobError(APIException):
    """The request has no image."""

    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "empty_job"
    default_detail = "The request has no image. Send files in `image`, or one archive with files in `archive`."


class JobTooLargeError(APIException):
    """The job exceeds JOB_MAX_ITEMS or JOB_MAX_UNPACKED_BYTES."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "job_too_large"

    def __init__(self) -> None:
        items, size = settings.JOB_MAX_ITEMS, settings.JOB_MAX_UNPACKED_BYTES
        super().__init__(f"A job has at most {items:,} files, and at most {size:,} bytes unpacked. Split it.")


class UploadTooLargeError(APIException):
    """The body exceeds JOB_MAX_BYTES."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "request_too_large"

    def __init__(self) -> None:
        super().__init__(f"The request is too large. At most {settings.JOB_MAX_BYTES:,} bytes are accepted.")


class TooManyWaitingError(APIException):
    """The items of all unfinished jobs exceed JOB_MAX_PENDING."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "queue_full"
    default_detail = "Too many images of jobs are pending. Try again later."
    wait = 60


class JobConflictError(APIException):
    """The Idempotency-Key was used before, for a different job."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "idempotency_conflict"
    default_detail = "This Idempotency-Key was used for a different request. Use a new key."


class JobNotRunningError(APIException):
    """The job is final, or is being deleted."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "not_running"
    default_detail = "This job has ended, or is being deleted."
