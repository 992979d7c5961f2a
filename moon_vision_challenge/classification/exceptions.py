"""The reasons why an image was not classified. `retryable` says whether a retry can help."""

from collections.abc import Sequence
from typing import ClassVar


class ClassificationError(Exception):
    """The base class of all causes.

    `detail` and `code` are for the client and contain nothing internal. The exception's own text is for the log.
    """

    code: ClassVar[str]
    retryable: ClassVar[bool] = False
    is_outage: ClassVar[bool] = False
    """Whether a service that the classification needs is unavailable. v1 waits for it without counting the attempt."""
    retry_after_s: int = 5
    """How soon a client may try again after a 503."""
    detail: str

    def __init__(self, log_text: str = "", *, detail: str | None = None) -> None:
        self.detail = detail or self.detail
        super().__init__(log_text or self.detail)


class InvalidImageError(ClassificationError):
    """The client's image cannot be used."""

    code = "invalid_image"
    detail = "This image cannot be used."


class UnreadableImageError(InvalidImageError):
    """The bytes are not an image that the service can read."""

    code = "unreadable_image"
    detail = "This is not a readable image."


class UnsupportedFormatError(UnreadableImageError):
    """The bytes are in an unknown format, or in one that is not accepted."""

    code = "unsupported_image_format"
    detail = "This is not an image of an accepted format."


class DamagedImageError(UnreadableImageError):
    """The bytes do not follow the rules of their format."""

    detail = "This image is damaged: its content does not follow the rules of its format. Save or export it again."


class TruncatedImageError(UnreadableImageError):
    """The bytes end before the image does."""

    detail = "This image is cut short: the file ends before the image does. Upload the whole file."


class ImageTooLargeError(InvalidImageError):
    """The image has more pixels than the service decodes."""

    code = "image_too_large"
    detail = "This image has too many pixels."


class ImageTooExpensiveError(InvalidImageError):
    """Decoding the image would cost more time or memory than the service spends on one."""

    code = "image_too_expensive"
    detail = "This image costs too much to decode."


class MetadataNotRemovableError(InvalidImageError):
    """STRIP_IMAGE_METADATA is on, and the service cannot remove the metadata of this format."""

    code = "metadata_not_removable"

    def __init__(self, image_format: str, others: Sequence[str]) -> None:
        *most, last = others
        detail = f"This service removes the metadata of images, which it cannot do in the format {image_format}."
        super().__init__(image_format, detail=f"{detail} Send {', '.join(most)} or {last}.")


class ImageNotFetchedError(InvalidImageError):
    """The image_url is refused, or its server did not send an image."""

    code = "image_not_fetched"
    detail = "The image could not be fetched from its URL."


class ImageFetchBusyError(ClassificationError):
    """This process is already fetching as many images from URLs as it may, in total or from one address."""

    code = "image_fetch_busy"
    retryable = True
    detail = "Too many images are being fetched from URLs. Try again later, or send the image itself."


class DecoderBusyError(ClassificationError):
    """Other images occupy the decoding memory or the decoder processes."""

    code = "decoder_busy"
    retryable = True
    detail = "Too many large images are being decoded. Try again later."


class IdempotencyConflictError(ClassificationError):
    """The Idempotency-Key was used before, for a different image or model type."""

    code = "idempotency_conflict"
    detail = "This Idempotency-Key was used for a different request. Use a new key."


class InferenceNotPendingError(ClassificationError):
    """The operation is possible only while the inference is pending."""

    code = "not_pending"
    detail = "This inference is no longer pending."


class InferenceInProgressError(ClassificationError):
    """A worker is processing the inference."""

    code = "in_progress"
    retryable = True
    detail = "A worker is processing this inference. Delete it when it is final."


class QueueFullError(ClassificationError):
    """INFERENCE_MAX_PENDING inferences are pending."""

    code = "queue_full"
    retryable = True
    detail = "Too many inferences are pending. Try again later."

    def __init__(self, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"the queue is full and should have room in {retry_after_s} s")


class UnknownModelTypeError(ClassificationError):
    """No classificator is registered under this model type (anymore)."""

    code = "unknown_model_type"
    detail = "This model type does not exist."


class ModelServerUnavailableError(ClassificationError):
    """The model server does not answer, or reports that it is unavailable."""

    code = "model_server_unavailable"
    retryable = True
    is_outage = True
    detail = "The model server is not available. Try again later."


class ModelNotAvailableError(ClassificationError):
    """The model server answers, but does not serve this model (yet)."""

    code = "model_not_available"
    retryable = True
    is_outage = True
    reason: str = ""
    """What the model server reports about the model, for the operator."""
    detail = "The model server does not serve this model now. Try again later, or choose another model_type."


class ModelVersionNotAvailableError(ModelNotAvailableError):
    """The model server does not serve the requested version of the model (yet, or anymore)."""

    code = "model_version_not_available"
    is_outage = False  # only this client requested the version, so other rows do not wait
    detail = (
        "The model server does not serve this version of the model now. Try again later, or request another version."
    )


class UnknownVersionLabelError(ClassificationError):
    """The model does not have this version label."""

    code = "unknown_version_label"
    detail = "This model does not have this version label."


class VersionNotSelectableError(ClassificationError):
    """The classificator's model_url cannot name a version."""

    code = "version_not_selectable"
    detail = "You cannot choose a version of this model type."


class ModelServerTimeoutError(ClassificationError):
    """The model did not answer in time."""

    code = "model_server_timeout"
    retryable = True
    detail = "The model did not answer in time. Try again later."


class InvalidPredictionError(ClassificationError):
    """The model server refused the request, or its answer is not a prediction."""

    code = "invalid_prediction"
    detail = "The model returned an unusable answer."


class StorageUnavailableError(ClassificationError):
    """The media store does not answer, or refuses the request."""

    code = "storage_unavailable"
    retryable = True
    is_outage = True
    detail = "The image store is not available. Try again later."


class StorageFullError(StorageUnavailableError):
    """The image store has no room for another upload."""

    code = "storage_full"
    retry_after_s = 60  # old images are deleted every ten minutes
    detail = "The image store is full. Try again later."


class InferenceNotFailedError(Exception):
    """The inference has not failed, so it cannot be retried. Only for operators, because the API has no retry."""

    detail = "This inference has not failed, so it cannot be retried."
