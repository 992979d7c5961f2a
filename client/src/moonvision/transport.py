"""Sends requests, and retries them while the service is unavailable."""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import httpx

from moonvision.errors import AuthenticationError, MoonVisionError, RejectedError, ServiceUnavailableError

logger = logging.getLogger(__name__)

RETRIED = frozenset({408, 429, 502, 503, 504})
"""Statuses after which the same request may succeed."""

_HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL)
"""Errors for an address or a token that cannot be sent."""

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_MAX_DIGITS = 10


class Transport:
    """Sends requests, and retries them until `give_up_s` have passed since the first failure.

    It waits as long as `Retry-After` says. Without this header, the pause doubles each time. Threads can share it.

    Args:
        renew: returns another `http` for a forked process, in which shared connections would mix up responses.
    """

    def __init__(
        self,
        http: httpx.Client,
        *,
        give_up_s: float,
        sleep: Callable[[float], object] | None = None,
        now: Callable[[], float] = time.monotonic,
        renew: Callable[[], httpx.Client] | None = None,
    ) -> None:
        self._http = http
        self._renew = renew
        self._pid = os.getpid()
        self._give_up_s = give_up_s
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._now = now
        self._is_away = False

    def close(self) -> None:
        """End the pauses of other threads, which then raise ServiceUnavailableError."""
        self._stopped.set()
        self._http.close()

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Return the JSON of the response. Raises MoonVisionError."""
        end: float | None = None
        pause_s = _FIRST_PAUSE_S
        while True:
            response, problem = self._try(method, path, arguments)
            if response is not None and response.status_code not in RETRIED:
                self._is_away = False
                return _parse(response)
            end = end if end is not None else self._now() + self._give_up_s
            wait_s = _retry_after_s(response) if response is not None else None
            if wait_s is None:
                wait_s = random.uniform(pause_s / 2, pause_s)  # noqa: S311 - so that clients do not return together
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
            if self._stopped.is_set() or self._now() + wait_s > end:
                raise ServiceUnavailableError(problem)
            self._tell(problem)
            self._sleep(wait_s)
            if self._stopped.is_set():
                raise ServiceUnavailableError(problem)

    def _try(self, method: str, path: str, arguments: Mapping[str, Any]) -> tuple[httpx.Response | None, str]:
        if self._renew and self._pid != os.getpid():
            self._http, self._pid = self._renew(), os.getpid()
        url = self._http.base_url
        try:
            response = self._http.request(method, path, **arguments)
        except _HOPELESS as error:
            raise MoonVisionError(f"{url}: {error} Check the address of the service, and the token.") from error
        except httpx.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                advice = "If it is signed by your own authority, name the file with its certificate in SSL_CERT_FILE."
                raise MoonVisionError(f"{url}: the certificate is not trusted ({error}). {advice}") from error
            return None, f"{url}: {str(error) or type(error).__name__}"
        return response, f"{response.status_code}: {_detail(response).text}"

    def _tell(self, problem: str) -> None:
        """Warn once for all threads, until the service answers. Without logging set up, this goes to standard error."""
        if self._is_away:
            return
        self._is_away = True
        logger.warning("The service is not available: %s. Trying for up to %g s.", problem, self._give_up_s)


def _retry_after_s(response: httpx.Response) -> float | None:
    """Return the seconds of Retry-After, which may be a date by the clock of the service (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdecimal():
        return float(value) if len(value) < _MAX_DIGITS else None
    try:
        date = parsedate_to_datetime(response.headers["Date"])
        return max(0.0, (parsedate_to_datetime(value) - date).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None


def _parse(response: httpx.Response) -> Any:
    if response.is_success:
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise MoonVisionError(f"{response.url}: the answer is not JSON. Is this the address of the API?") from error
    if response.is_redirect:
        text = f"{response.url} redirects to {response.headers['Location']}. Use the address that it leads to."
        raise MoonVisionError(text)
    detail = _detail(response)
    kind = AuthenticationError if response.status_code in {401, 403} else RejectedError
    raise kind(detail.text, status=response.status_code, code=detail.code, fields=detail.fields)


class _Detail(NamedTuple):
    text: str
    code: str = ""
    fields: tuple[str, ...] = ()


def _detail(response: httpx.Response) -> _Detail:
    """Return the sentence and the code of an error: `{"detail", "code"}`, or a list of sentences for each field."""
    try:
        body = response.json()
    except ValueError:
        return _Detail(response.reason_phrase or f"status {response.status_code}")
    if isinstance(body, dict) and "detail" in body:
        return _Detail(str(body["detail"]), str(body.get("code", "")))
    if isinstance(body, dict):
        fields = {name: texts if isinstance(texts, list) else [texts] for name, texts in body.items()}
        text = " ".join(f"{name}: {text}" for name, texts in fields.items() for text in texts)
        return _Detail(text, "invalid", tuple(fields))
    return _Detail(str(body))
