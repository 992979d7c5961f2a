"""Which requests are retried, when, and for how long."""

import httpx
import pytest
from moonvision.errors import AuthenticationError, MoonVisionError, RejectedError, ServiceUnavailableError
from moonvision.transport import Transport

Answer = httpx.Response | Exception


class Service:
    """Gives the answers in turn, and then repeats the last one. Sleeping advances the clock."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests = 0
        self.clock = 0.0
        self.pauses: list[float] = []

    def transport(self, give_up_s: float = 300) -> Transport:
        http = httpx.Client(base_url="http://service", transport=httpx.MockTransport(self._answer))
        return Transport(http, give_up_s=give_up_s, sleep=self._sleep, now=lambda: self.clock)

    def _answer(self, _: httpx.Request) -> httpx.Response:
        self.requests += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock += seconds


def ok() -> httpx.Response:
    return httpx.Response(200, json={"label": "espresso"})


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_temporary_failure_is_repeated_after_what_retry_after_says(status: int) -> None:
    service = Service(httpx.Response(status, json={"detail": "later"}, headers={"Retry-After": "7"}), ok())
    assert service.transport().request("GET", "/") == {"label": "espresso"}
    assert service.pauses == [7]


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.ReadError("reset")])
def test_a_broken_connection_is_repeated_with_growing_pauses(error: Exception) -> None:
    service = Service(error, error, error, ok())
    assert service.transport().request("GET", "/")
    first, second, third = service.pauses
    assert 0.25 <= first <= 0.5 <= second <= 1 <= third <= 2


def test_it_gives_up_in_time_and_says_why() -> None:
    service = Service(httpx.Response(503, json={"detail": "The model server is not available."}))
    with pytest.raises(ServiceUnavailableError, match="503: The model server is not available"):
        service.transport(give_up_s=60).request("GET", "/")
    assert service.clock <= 60
    assert service.requests > 3


def test_a_retry_after_beyond_the_end_is_not_waited_for() -> None:
    service = Service(httpx.Response(429, json={"detail": "later"}, headers={"Retry-After": "3600"}))
    with pytest.raises(ServiceUnavailableError):
        service.transport(give_up_s=60).request("GET", "/")
    assert service.pauses == []


@pytest.mark.parametrize(
    ("answer", "kind", "text", "code"),
    [
        (httpx.Response(400, json={"image": ["Too small."]}), RejectedError, "image: Too small.", "invalid"),
        (httpx.Response(413, json={"detail": "Too large.", "code": "large"}), RejectedError, "Too large.", "large"),
        (httpx.Response(500, text="<html>"), RejectedError, "Internal Server Error", ""),
        (httpx.Response(401, json={"detail": "No token.", "code": "x"}), AuthenticationError, "No token.", "x"),
    ],
)
def test_what_cannot_succeed_is_not_repeated(
    answer: httpx.Response, kind: type[RejectedError], text: str, code: str
) -> None:
    service = Service(answer)
    with pytest.raises(kind, match=text) as caught:
        service.transport().request("GET", "/")
    assert (service.requests, caught.value.status, caught.value.code) == (1, answer.status_code, code)


def test_an_answer_of_something_else_is_told() -> None:
    with pytest.raises(MoonVisionError, match="not JSON"):
        Service(httpx.Response(200, text="<html>")).transport().request("GET", "/")


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def test_closing_during_a_pause_ends_the_request() -> None:
    http = httpx.Client(base_url="http://service", transport=httpx.MockTransport(refuse))
    transport = Transport(http, give_up_s=300, sleep=lambda _: transport.close())
    with pytest.raises(ServiceUnavailableError, match="refused"):
        transport.request("GET", "/")


LATER = "Fri, 27 Nov 2026 10:00:30 GMT"


@pytest.mark.parametrize(
    ("date", "pause_s"), [("Fri, 27 Nov 2026 10:00:00 GMT", 30), ("Fri, 27 Nov 2026 11:00:00 GMT", 0)]
)
def test_a_retry_after_that_is_a_date_is_read_by_the_clock_of_the_service(date: str, pause_s: float) -> None:
    busy = httpx.Response(429, json={"detail": "later"}, headers={"Retry-After": LATER, "Date": date})
    service = Service(busy, ok())
    service.transport().request("GET", "/")
    assert service.pauses == [pause_s]


@pytest.mark.parametrize("value", ["soon", "-1", "Fri, 99 Nov 2026", "9" * 400, "1.5"])
def test_a_retry_after_that_means_nothing_is_left_out(value: str) -> None:
    service = Service(httpx.Response(503, json={"detail": "later"}, headers={"Retry-After": value}), ok())
    assert service.transport().request("GET", "/")
    assert service.pauses[0] <= 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate"), "SSL_CERT_FILE"),
        (httpx.UnsupportedProtocol("Request URL is missing a host."), "missing a host"),
        (httpx.LocalProtocolError("Illegal header value"), "Illegal header value"),
        (httpx.InvalidURL("Invalid port: 'x'"), "Invalid port"),
    ],
)
def test_what_only_the_user_can_change_is_told_at_once(error: Exception, words: str) -> None:
    service = Service(error)
    with pytest.raises(MoonVisionError, match=words) as caught:
        service.transport().request("GET", "/")
    assert not isinstance(caught.value, ServiceUnavailableError)
    assert (service.requests, service.pauses) == (1, [])


def test_a_redirect_is_not_followed_and_names_the_new_address() -> None:
    moved = httpx.Response(308, headers={"Location": "https://service/api/v1/models/"})
    with pytest.raises(MoonVisionError, match="redirects to https://service/api/v1/models/"):
        Service(moved).transport().request("GET", "/api/v1/models/")


def test_the_user_is_told_once_that_it_waits(caplog: pytest.LogCaptureFixture) -> None:
    away = httpx.ConnectError("Connection refused")
    Service(away, away, away, ok()).transport(give_up_s=60).request("GET", "/")
    (message,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "Connection refused" in message
    assert "60 s" in message


def test_an_error_names_the_fields_that_it_is_about() -> None:
    with pytest.raises(RejectedError) as caught:
        Service(httpx.Response(400, json={"model_type": ["No."]})).transport().request("GET", "/")
    assert caught.value.fields == ("model_type",)
