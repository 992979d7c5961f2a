"""A stand-in for the service."""

from collections.abc import Callable

import httpx
import pytest

Answer = Callable[[httpx.Request], httpx.Response]
Serve = Callable[[Answer], list[httpx.Request]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Answer the requests of clients, and record them."""

    def start(answer: Answer) -> list[httpx.Request]:
        seen: list[httpx.Request] = []

        def handle(request: httpx.Request) -> httpx.Response:
            request.read()
            seen.append(request)
            return answer(request)

        real = httpx.Client
        monkeypatch.setattr(
            httpx, "Client", lambda **arguments: real(transport=httpx.MockTransport(handle), **arguments)
        )
        return seen

    return start
