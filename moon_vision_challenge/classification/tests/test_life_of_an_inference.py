"""The logs and traces of one inference, from the request to its webhook, on real processes."""

import base64
import json
import re
from collections.abc import Iterator

import pytest
import requests

from moon_vision_challenge.accounts import tokens
from moon_vision_challenge.accounts.models import Owner
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests.service import MODEL, PHOTO, Service
from moon_vision_challenge.classification.tests.waiting import LIMIT_S, wait_for
from moon_vision_challenge.tests.peer import OK, Peer
from moon_vision_challenge.tests.trace_collector import trace_collector

pytestmark = pytest.mark.django_db(transaction=True)

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT_SPAN = "00f067aa0ba902b7"
SECRET = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
ENVIRONMENT = {
    "WEBHOOK_SECRET": f"whsec_{SECRET}",
    "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1",
    "DJANGO_LOG_FORMAT": "json",
    "DJANGO_ACCESS_LOG": "1",
}
SERVICES = ("web", "worker", "webhook_worker")


def start(service: Service, **environment: str) -> None:
    for name in SERVICES:
        service.start(name, **ENVIRONMENT, **environment)


def post(service: Service, webhook_url: str, **headers: str) -> requests.Response:
    created = requests.post(
        f"{service.url}/api/v1/inferences/",
        data={"model_type": MODEL, "webhook_url": webhook_url},
        files={"image": ("photo.jpg", PHOTO)},
        headers=headers,
        timeout=LIMIT_S,
    )
    assert created.status_code == 201, created.text
    return created


def lines_of(service: Service, *names: str) -> Iterator[dict[str, object]]:
    for name in names:
        for line in service.services.log(name).read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)


@pytest.mark.e2e
def test_each_event_of_an_inference_is_a_line_with_its_ids(service: Service) -> None:
    _, token = tokens.create_token(owner=Owner.objects.create(name="alice"), name="laptop", actor="test")
    start(service)
    headers = {"X-Request-ID": "mine", "traceparent": f"00-{TRACE_ID}-{CLIENT_SPAN}-01"}
    with Peer(OK) as receiver:
        created = post(service, receiver.url, Authorization=f"Bearer {token}", **headers)
        pk = created.json()["id"]
        ids = {"inference_id": pk, "request_id": "mine", "trace_id": TRACE_ID}

        def life() -> dict[object, dict[str, object]]:
            lines = lines_of(service, *SERVICES)
            return {line["event"]: line for line in lines if "event" in line and ids.items() <= line.items()}

        wait_for(lambda: "webhook" in life(), "the last line")
    found = life()
    assert found.keys() == {"accepted", "claimed", "asked", "ended", "webhook"}
    accepted, claimed, asked, ended, webhook = (found[name] for name in found)
    row = Inference.objects.get(pk=pk)
    assert accepted | {"token": "laptop", "owner_id": row.owner_id, "bytes": len(PHOTO)} == accepted
    assert accepted["model_type"] == MODEL
    assert claimed["attempts"] == [1]
    assert re.fullmatch(r"\S+:\d+", str(claimed["worker"]))
    assert claimed["batch"] == asked["batch"] != "None"
    assert asked | {"model_type": MODEL, "model_version": row.model_version, "result": "ok"} == asked
    assert float(str(asked["ms"])) > 0
    assert ended | {"status": "done", "label": row.label, "attempts": 1} == ended
    assert float(str(ended["wait_s"])) >= 0
    assert float(str(ended["run_s"])) > 0
    assert webhook | {"result": "delivered", "http_status": 200, "attempt": 1} == webhook
    (access,) = [line for line in lines_of(service, "web") if line.get("status") == 201]
    assert access | {"token": "laptop", "request_id": "mine", "trace_id": TRACE_ID} == access
    logs = "".join(service.services.log(name).read_text() for name in SERVICES)
    for hidden in (token, SECRET, base64.b64encode(PHOTO[:30]).decode()):
        assert hidden not in logs


@pytest.mark.e2e
def test_one_trace_leads_from_the_clients_request_to_its_webhook_and_is_sent_before_the_processes_end(
    service: Service,
) -> None:
    hour_ms = "3600000"  # spans would be sent after this time if no process ended
    with trace_collector() as collector, Peer(OK) as receiver:
        start(service, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY=hour_ms)
        post(service, receiver.url, traceparent=f"00-{TRACE_ID}-{CLIENT_SPAN}-01")
        wait_for(lambda: receiver.requests, "the webhook")
        service.services.stop(*SERVICES)
    spans = collector.of_trace(TRACE_ID)
    request, webhook = spans["POST /api/v1/inferences/"], spans["deliver webhook"]
    wait, process = spans["wait in queue"], spans["process inference"]
    classify, predict = spans["classify"], spans[f"predict {MODEL}"]
    assert len(spans) == 6
    assert request.parent_id == CLIENT_SPAN
    assert wait.parent_id == process.parent_id == request.span_id
    assert classify.parent_id == webhook.parent_id == process.span_id
    assert predict.parent_id == classify.span_id
    kinds = [each.kind for each in (request, wait, process, classify, predict, webhook)]
    assert kinds == ["SERVER", "INTERNAL", "CONSUMER", "INTERNAL", "CLIENT", "CLIENT"]
    assert {each.service for each in spans.values()} == {"moon-vision-challenge"}
    assert not [each for each in spans.values() if each.is_error]
    assert request.attributes["http.response.status_code"] == 201
    assert f"traceparent: 00-{TRACE_ID}-{webhook.span_id}-01" in receiver.requests[0].decode()
