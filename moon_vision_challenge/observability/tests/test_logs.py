"""What a log line says about the request that it belongs to."""

import json
import logging
from collections.abc import Iterator

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.observability import log_context
from moon_vision_challenge.observability.json_logs import JSONFormatter
from moon_vision_challenge.observability.middleware import access_log

URL = "/api/v0/inferences/"


class Lines(logging.Handler):
    """A handler that keeps its lines as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(log_context.ContextFilter())
        self.setFormatter(JSONFormatter())
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    handler = Lines()
    loggers = [access_log, logging.getLogger("django.request"), logging.getLogger(__name__)]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield handler.lines
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.mark.parametrize("given", ["abc-1.2_3", "x" * 64])
def test_a_sane_request_id_is_kept(client: APIClient, given: str) -> None:
    assert client.post(URL, headers={"X-Request-ID": given})["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "\u00e4", '{"a":1}', "a\x1b[31m"])
def test_any_other_request_id_is_replaced(client: APIClient, given: str) -> None:
    answered = client.post(URL, headers={"X-Request-ID": given})["X-Request-ID"]
    assert answered != given
    assert len(answered) == 32


def test_the_lines_of_a_request_carry_its_id(
    client: APIClient, lines: list[dict[str, object]], settings: Settings
) -> None:
    settings.ACCESS_LOG = True
    client.post(URL, {}, format="json", headers={"X-Request-ID": "mine"})
    access, by_django = sorted(lines, key=lambda line: str(line["logger"]), reverse=True)
    assert {line["request_id"] for line in (by_django, access)} == {"mine"}
    assert access | {"time": "", "ms": 0, "message": ""} == {
        "time": "",
        "level": "INFO",
        "logger": "moon_vision_challenge.access",
        "message": "",
        "request_id": "mine",
        "method": "POST",
        "path": URL,
        "status": 400,
        "ms": 0,
        "token": "anonymous",
        "owner_id": 0,
    }
    assert "request" not in by_django  # the request object


def test_no_access_line_is_written_by_default(client: APIClient, lines: list[dict[str, object]]) -> None:
    client.post(URL, {}, format="json")
    assert [line["logger"] for line in lines] == ["django.request"]


def test_what_a_client_sends_is_cut(client: APIClient, lines: list[dict[str, object]], settings: Settings) -> None:
    settings.ACCESS_LOG = True
    client.get("/" + 3000 * "a")
    assert max(len(str(line["message"])) for line in lines) <= 2000
    (access,) = [line for line in lines if line["logger"] == "moon_vision_challenge.access"]
    assert len(str(access["path"])) == 200


def test_ids_are_only_where_they_belong(lines: list[dict[str, object]]) -> None:
    with log_context.about(inference_id=17):
        logging.getLogger(__name__).info("done")
    logging.getLogger(__name__).info("nothing")
    assert [line.get("inference_id") for line in lines] == [17, None]
    assert "request_id" not in lines[0]
