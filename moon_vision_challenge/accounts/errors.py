"""The reasons to refuse a request before its view runs."""

from collections.abc import Mapping
from typing import ClassVar

_CHALLENGE = 'Bearer realm="api"'


class AccessRefusedError(Exception):
    """The base of all reasons. `detail` and `code` are for the client, `headers` for the response."""

    status: ClassVar[int] = 401
    code: ClassVar[str]
    detail: str
    headers: Mapping[str, str] = {"WWW-Authenticate": _CHALLENGE}

    def __init__(self, detail: str = "") -> None:
        self.detail = detail or self.detail
        super().__init__(self.detail)


class MissingTokenError(AccessRefusedError):
    """The route needs a token."""

    code = "not_authenticated"
    detail = "This address needs an API token. Send it as Authorization: Bearer TOKEN."


class InvalidTokenError(AccessRefusedError):
    """The header is malformed, or the token is unknown, expired, or revoked."""

    code = "invalid_token"
    detail = "This API token is not valid. Check that you have copied all of it, or ask for a new one."
    headers: Mapping[str, str] = {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'}


class InsufficientScopeError(AccessRefusedError):
    """The token does not have the scope that the route needs."""

    status = 403
    code = "insufficient_scope"

    def __init__(self, scope: str) -> None:
        self.headers = {"WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'}
        super().__init__(f"This API token does not have the scope {scope}. Use a token that has it.")


class MissingRuleError(AccessRefusedError):
    """The view declares no rule. `view` names it, for the log."""

    status = 403
    code = "permission_denied"
    headers: Mapping[str, str] = {}

    def __init__(self, view: str) -> None:
        super().__init__("No caller may use this address.")
        self.view = view


class TokensUnavailableError(AccessRefusedError):
    """The database does not answer, and this process does not know the token."""

    status = 503
    code = "database_unavailable"
    detail = "The database is not available. Try again later."
    headers: Mapping[str, str] = {"Retry-After": "5"}


class TooManyUnknownTokensError(AccessRefusedError):
    """Clients send too many unknown tokens. For a moment, the service does not look up any."""

    status = 503
    code = "authentication_busy"
    detail = "Too many unknown API tokens are being checked. Try again later."
    headers: Mapping[str, str] = {"Retry-After": "1"}
