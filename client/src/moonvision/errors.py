"""Errors, by what you can do about them."""


class MoonVisionError(Exception):
    """The base class of all errors in this package. The text says what happened."""


class RejectedError(MoonVisionError):
    """The service rejected this request, and repeating it does not help.

    Attributes:
        status: the HTTP status, or None if the inference failed in the queue.
        code: a machine-readable code, such as `invalid_image`.
        fields: the fields of the request that the service names.
    """

    def __init__(self, text: str, *, status: int | None = None, code: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.fields = fields


class AuthenticationError(RejectedError):
    """The token is missing, wrong, or expired, or it lacks a scope."""


class ServiceUnavailableError(MoonVisionError):
    """The service did not answer, or was overloaded, for as long as the client retried."""


class UnreadableImageError(MoonVisionError):
    """The file or the address of an image cannot be read."""
