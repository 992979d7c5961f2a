"""Traces: what is accepted, what is passed on, and what they cost while they are off."""

import os
import subprocess
import sys
import time

import pytest
from rest_framework.test import APIClient

from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.serving import client as model_client
from moon_vision_challenge.observability import log_context, tracing
from moon_vision_challenge.observability.span import Kind
from moon_vision_challenge.observability.traceparent import parse
from moon_vision_challenge.tests.peer import Peer
from native.environment import ROOT

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (VALID, VALID),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-ff", VALID),  # only one flag is known
        (f"cc-{TRACE}-{SPAN}-01", VALID),  # a later version is read as version 00
        (f"cc-{TRACE}-{SPAN}-01-what-comes-next", VALID),
        ("", ""),
        (f"00-{TRACE}-{SPAN}-01-more", ""),
        (f"ff-{TRACE}-{SPAN}-01", ""),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (VALID.upper(), ""),
        (f" {VALID}", ""),
        (f"{VALID}\n", ""),
        (VALID.replace("4", "\u0664"), ""),
        (f"{VALID},{VALID}", ""),
        (f"cc-{TRACE}-{SPAN}-01-" + "x" * 1000, ""),
    ],
)
def test_a_traceparent_is_taken_only_if_it_is_valid(header: str, expected: str) -> None:
    assert parse(header) == expected


@pytest.mark.django_db
@pytest.mark.parametrize(("header", "kept"), [(VALID, VALID), ("00-junk", "")])
def test_a_row_keeps_the_request_and_the_trace_that_made_it(
    client: APIClient, jpeg: bytes, header: str, kept: str
) -> None:
    answer = client.post(
        "/api/v1/inferences/",
        jpeg,
        content_type="image/jpeg",
        query_params={"model_type": "efficientnet_lite0"},
        headers={"traceparent": header, "X-Request-ID": "mine"},
    )
    assert answer.status_code == 201, answer.content
    row = Inference.objects.get(pk=answer.json()["id"])
    assert (row.request_id, row.traceparent) == ("mine", kept)
    assert not {"request_id", "traceparent"} & answer.json().keys()


def test_the_model_server_gets_the_traceparent_of_this_request_only() -> None:
    answer = b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"predictions":[]}'
    with Peer(answer) as server:
        url = f"{server.url}v1/models/a:predict"
        model_client.predict(url, {})
        with log_context.about(traceparent=VALID):
            model_client.predict(url, {})
        model_client.predict(url, {})
    assert [f"traceparent: {VALID}".encode() in request for request in server.requests] == [False, True, False]


def test_work_for_several_traces_is_a_span_in_each() -> None:
    with tracing.spans("work", Kind.INTERNAL, [VALID, ""]) as spans:
        assert log_context.current().traceparent == VALID
        assert [each.traceparent for each in spans] == [VALID, ""]
    with tracing.spans("work", Kind.INTERNAL, []) as none:
        assert none == []
    assert log_context.current().traceparent == ""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.test", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


IMPORT = "import sys, django; django.setup(); import config.urls; "
IMPORT += "from moon_vision_challenge.observability import tracing"
HIDE = "import sys; sys.modules['opentelemetry'] = None; "


@pytest.mark.e2e
def test_while_traces_are_off_opentelemetry_need_not_be_installed() -> None:
    result = run(f"{HIDE}{IMPORT}; print(tracing.IS_ON, 'moon_vision_challenge.observability.otel' in sys.modules)")
    assert result.stdout.strip() == "False False", result.stderr


@pytest.mark.e2e
def test_an_endpoint_without_opentelemetry_is_an_error_that_says_what_to_install() -> None:
    result = run(HIDE + IMPORT, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318")
    assert result.returncode != 0
    assert "requirements/tracing.txt" in result.stderr


def test_while_traces_are_off_a_span_takes_less_than_a_hundredth_of_a_millisecond_of_cpu() -> None:
    count = 10_000
    begin = time.process_time()
    for _ in range(count):
        with tracing.span("predict", Kind.CLIENT, server__address="http://127.0.0.1"):
            pass
    assert (time.process_time() - begin) / count < 10e-6
