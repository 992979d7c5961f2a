"""The reasons why a request has no response."""


class RequestFailedError(Exception):
    """The response did not arrive, or is incomplete. The text may name internal hosts."""


class ConnectionBrokenError(RequestFailedError):
    """The connection was refused, or it broke before any of the response arrived."""


class DeadlineExceededError(RequestFailedError):
    """The deadline passed before the response was complete."""


class ResponseTooLargeError(RequestFailedError):
    """The response's body is larger than the caller accepts."""


class AddressBusyError(RequestFailedError):
    """This process has reached its limit of connections to the address."""


class TooManyRedirectsError(RequestFailedError):
    """The URL redirects more often than the caller accepts. The text is for the client that gave it."""


class RefusedURLError(RequestFailedError):
    """A guarded request must not go to this URL. The text is for the client that gave it."""
