"""Requests that are repeated while the service is unavailable."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from moonvision.errors import AuthenticationError, MoonVisionError, RejectedError, ServiceUnavailableError

RETRIED = frozenset({408, 429, 502, 503, 504})
"""Statuses after which the same request may succeed."""

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


class Transport:
    """Sends requests, and repeats them until `give_up_s` have passed since the first failure.

    It waits as long as `Retry-After` says, otherwise with a pause that doubles. Threads may share it.
    """

    def __init__(
        self,
        http: httpx.Client,
        *,
        give_up_s: float,
        sleep: Callable[[float], object] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._give_up_s = give_up_s
        self._stopped = threading.Event()
        self._sleep = sleep or self._stopped.wait
        self._now = now

    def close(self) -> None:
        """End the pauses of other threads, which then raise ServiceUnavailableError."""
        self._stopped.set()
        self._http.close()

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Returns the JSON of the answer. Raises a MoonVisionError."""
        end: float | None = None
        pause_s = _FIRST_PAUSE_S
        while True:
            response, problem = self._try(method, path, arguments)
            if response is not None and response.status_code not in RETRIED:
                return _parse(response)
            end = end if end is not None else self._now() + self._give_up_s
            wait_s = _retry_after_s(response) if response is not None else None
            if wait_s is None:
                wait_s = random.uniform(pause_s / 2, pause_s)  # noqa: S311 - so that clients do not return together
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
            if self._stopped.is_set() or self._now() + wait_s > end:
                raise ServiceUnavailableError(problem)
            self._sleep(wait_s)

    def _try(self, method: str, path: str, arguments: Mapping[str, Any]) -> tuple[httpx.Response | None, str]:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            return None, f"{self._http.base_url}: {str(error) or type(error).__name__}"
        return response, f"{response.status_code}: {_detail(response)[0]}"


def _retry_after_s(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdecimal() else None


def _parse(response: httpx.Response) -> Any:
    if response.is_success:
        try:
            return response.json() if response.content else None
        except ValueError as error:
            raise MoonVisionError(f"{response.url}: the answer is not JSON. Is this the address of the API?") from error
    detail, code = _detail(response)
    kind = AuthenticationError if response.status_code in {401, 403} else RejectedError
    raise kind(detail, status=response.status_code, code=code)


def _detail(response: httpx.Response) -> tuple[str, str]:
    """The sentence and the code of an error: `{"detail", "code"}`, or a list of sentences for each field."""
    try:
        body = response.json()
    except ValueError:
        return response.reason_phrase or f"status {response.status_code}", ""
    if isinstance(body, dict) and "detail" in body:
        return str(body["detail"]), str(body.get("code", ""))
    if isinstance(body, dict):
        fields = {name: texts if isinstance(texts, list) else [texts] for name, texts in body.items()}
        return " ".join(f"{name}: {text}" for name, texts in fields.items() for text in texts), "invalid"
    return str(body), ""
