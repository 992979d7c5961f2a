"""No request causes a 500, and no answer repeats all of what the client sent."""

import base64
import json
import random
from typing import Any
from urllib.parse import quote

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db

V0, V1, HISTORY = "/api/v0/inferences/", "/api/v1/inferences/", "/api/v1/history/"
MAX_ANSWER_BYTES = 5000

TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\x7f\x80",
    "\u202e\ufffe",
    "\U0001f600",
    "%",
    "%00",
    "../../etc/passwd",
    "' OR 1=1 --",
    "-1",
    "0",
    "1e999",
    "NaN",
    "9" * 19,
    "9" * 30,
    "9" * 5000,
    "\u0661\u0662",
    "true",
    "null",
    "[]",
    "a" * 10_000,
]
TIMES = [
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "9999-12-31T23:59:59.999999Z",
    "0000-00-00T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00+99:99",
    "2026-01-01",
    "2026-W01-1",
    "infinity",
    "now",
    "epoch",
]


@pytest.fixture(autouse=True)
def _no_rate_limit(settings: Settings) -> None:
    settings.API_ANON_RATE = settings.API_ANON_READ_RATE = ()


def check(response: Any) -> None:
    assert response.status_code < 500, response.content
    assert response["Content-Type"] == "application/json"
    assert len(response.content) < MAX_ANSWER_BYTES


@pytest.mark.parametrize("value", [*TEXTS, *TIMES])
def test_query_parameters(client: APIClient, value: str) -> None:
    for name in ("cursor", "status", "model_type", "created_after", "created_before", "page_size", "format", "x"):
        check(client.get(HISTORY, {name: value}))
    cursor = base64.b64encode(f"p={quote(value)}".encode()).decode()
    check(client.get(HISTORY, {"cursor": cursor}))
    check(client.get(HISTORY, {"cursor": base64.b64encode(f"o={quote(value)}&r=1&p=x".encode()).decode()}))
    for name in ("version", "version_label", "top_k"):
        check(client.post(f"{V0}?{name}={quote(value)}", {}, format="json"))


@pytest.mark.parametrize("time", TIMES[:4])
def test_a_time_at_the_ends_of_the_calendar_filters_or_is_refused(client: APIClient, time: str) -> None:
    cursor = base64.b64encode(f"p={quote(time)}".encode()).decode()
    for query in ({"created_after": time}, {"created_before": time}, {"cursor": cursor}):
        assert client.get(HISTORY, query).status_code in (200, 400)


@pytest.mark.parametrize("value", TEXTS)
def test_paths(client: APIClient, value: str) -> None:
    part = quote(value, safe="")
    for path in (
        f"{V1}{part}/",
        f"{V1}{part}/cancel/",
        f"/api/v1/models/{part}/",
        f"/api/v1/models/{part}/classes/",
        f"/api/{part}",
        f"/media/{part}",
        f"/media/inferences/2026/01/02/{part}",
        f"/{part}/",
    ):
        if path not in (f"{V1}/", "/api/v1/models//", "//"):
            check(client.get(path))


@pytest.mark.parametrize(
    "value", [*TEXTS, "\xff\xfe", "\u20ac".encode().decode("latin-1"), ";;;", 'a/b;c="', "*/*;q=x"]
)
def test_headers(client: APIClient, value: str) -> None:
    value = value.encode("utf-8").decode("latin-1").replace("\x00", "")
    for name in (
        "Idempotency-Key",
        "Prefer",
        "If-None-Match",
        "If-Modified-Since",
        "Accept",
        "Authorization",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "Range",
        "Cookie",
        "Origin",
        "Accept-Encoding",
        "Accept-Language",
        "Content-Encoding",
        "X-HTTP-Method-Override",
    ):
        check(client.post(V1, {}, format="json", headers={name: value}))
        check(client.get(f"{V1}1/", headers={name: value}))
        check(client.get("/media/inferences/2026/01/02/a.jpg", headers={name: value}))
    check(client.post(V0, b"{}", content_type=value or "x"))
    check(client.get(f"{V1}1/", headers={"Host": value or "x"}))


JSON_VALUES: list[Any] = [None, True, 0, -1, 2**63, 2**100, 1.5, [], {}, [[]], {"a": {"b": []}}, *TEXTS]


@pytest.mark.parametrize("value", JSON_VALUES, ids=lambda value: repr(value)[:20])
def test_json_of_every_shape(client: APIClient, value: Any) -> None:
    for url in (V0, V1):
        for body in (value, [value], {"model_type": value}, {"image": value, "model_type": "resnet"}, {str(value): 1}):
            check(client.post(url, json.dumps(body), content_type="application/json"))
        body = {"model_type": "resnet", "image": "YQ==", "webhook_url": value}
        check(client.post(url, json.dumps(body), content_type="application/json"))


@pytest.mark.parametrize("url", [V0, V1])
@pytest.mark.parametrize("model_type", ["a" * 10_000_000, ["a" * 10_000_000], {"a" * 1_000_000: 1}, "\x00" * 1_000_000])
def test_what_is_echoed_is_cut(client: APIClient, url: str, model_type: Any) -> None:
    response = client.post(
        url, json.dumps({"model_type": model_type, "image": "YQ=="}), content_type="application/json"
    )
    assert response.status_code == 400
    assert len(response.content) < MAX_ANSWER_BYTES
    assert "Choose one of: " in response.json()["model_type"][0]


def test_lone_surrogates_are_malformed(client: APIClient) -> None:
    body = '{"model_type": "\\ud800", "image": "YQ=="}'
    response = client.post(V0, body, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (400, "malformed_body")


@pytest.mark.parametrize("seed", range(300))
def test_mutated_forms(client: APIClient, seed: int) -> None:
    chance = random.Random(seed)
    body = bytearray(
        b'--B\r\nContent-Disposition: form-data; name="model_type"\r\n\r\nresnet\r\n'
        b'--B\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--B--\r\n"
    )
    for _ in range(chance.randint(1, 6)):
        position = chance.randrange(len(body))
        match chance.randrange(4):
            case 0:
                body[position] = chance.randrange(256)
            case 1:
                del body[position : position + chance.randint(1, 20)]
            case 2:
                body[position:position] = chance.choice(
                    [b"\r\n", b'"', b";", b"\x00", b"--B", b"\xff\xfe", b"%22", b"*="]
                )
            case 3:
                body += body[position:]
    check(client.post(chance.choice([V0, V1]), bytes(body), content_type="multipart/form-data; boundary=B"))
