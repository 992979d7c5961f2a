"""Real clients, and the request formats of clients in other languages, on the running service."""

import asyncio
import base64
import gzip
import io
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest
import requests

from moon_vision_challenge.classification.tests.service import MODEL, PHOTO, Service
from moon_vision_challenge.tests.commands import skip_without_curl
from native.environment import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

PHOTO_FILE = ROOT / "samples" / "coffee.jpg"
EXPECTED = {"label": "espresso"}
TIMEOUT_S = 300


def v0(service: Service) -> str:
    return f"{service.url}/api/v0/inferences/"


def curl(*arguments: str) -> tuple[int, dict[str, object]]:
    skip_without_curl()
    command = ["curl", "--silent", "--max-time", str(TIMEOUT_S), "--write-out", "\n%{http_code}", *arguments]
    body, _, status = subprocess.run(command, check=True, capture_output=True, text=True).stdout.rpartition("\n")
    return int(status), json.loads(body)


@pytest.mark.parametrize(
    "arguments",
    [
        (f"-Fmodel_type={MODEL}", f"-Fimage=@{PHOTO_FILE}"),
        (f"-Fmodel_type={MODEL}", f"-Fimage=<{PHOTO_FILE};type=image/jpeg"),  # a type and no filename
        (f"-Fmodel_type={MODEL}", f"-Fimage=@{PHOTO_FILE};encoder=base64"),
        (f"-Fmodel_type={MODEL}", f"-Fimage=@{PHOTO_FILE}", "-HTransfer-Encoding: chunked"),
        (f"-Fmodel_type={MODEL}", f"-Fimage=@{PHOTO_FILE}", "-HExpect: 100-continue"),
        (f"-Fmodel_type={MODEL}", f"-Fimage=@{PHOTO_FILE}", "--http2"),
        (f"-Fmodel_type={MODEL}", f"-Fimage=@{PHOTO_FILE}", "--http1.0"),
    ],
    ids=["form", "no-filename", "base64", "chunked", "expect", "http2-upgrade", "http1.0"],
)
def test_curl(service: Service, arguments: tuple[str, ...]) -> None:
    assert curl(*arguments, v0(service)) == (200, EXPECTED)


def test_curl_with_the_model_type_from_a_file_of_one_line(service: Service, tmp_path: Path) -> None:
    (tmp_path / "model_type.txt").write_text(f"{MODEL}\n")
    assert curl(f"-Fmodel_type=<{tmp_path}/model_type.txt", f"-Fimage=@{PHOTO_FILE}", v0(service)) == (200, EXPECTED)


def test_curl_that_sends_too_much_reads_413(service: Service, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(40_000_000))
    for more in ((), ("-HExpect:",), ("-HTransfer-Encoding: chunked", "-HExpect:")):
        status, body = curl(f"-Fmodel_type={MODEL}", f"-Fimage=@{large}", *more, v0(service))
        assert (status, body["code"]) == (413, "request_too_large")


def test_requests(service: Service) -> None:
    def chunks() -> Iterator[bytes]:
        yield json_body()[:1000]
        yield json_body()[1000:]

    with requests.Session() as session:
        form = session.post(
            v0(service), data={"model_type": MODEL}, files={"image": ("图片é.jpg", PHOTO)}, timeout=TIMEOUT_S
        )
        headers = {"Content-Type": "application/json"}
        chunked = session.post(v0(service), data=chunks(), headers=headers, timeout=TIMEOUT_S)
        headers["Content-Encoding"] = "gzip"
        zipped = session.post(v0(service), data=gzip.compress(json_body()), headers=headers, timeout=TIMEOUT_S)
    assert [answer.json() for answer in (form, chunked, zipped)] == [EXPECTED] * 3


def test_a_multipart_request_without_a_boundary_is_answered_with_the_reason(service: Service) -> None:
    answer = requests.post(v0(service), data=b"--x", headers={"Content-Type": "multipart/form-data"}, timeout=TIMEOUT_S)
    assert answer.status_code == 400
    assert "has no boundary" in answer.json()["detail"]


def test_httpx(service: Service) -> None:
    form = httpx.post(v0(service), data={"model_type": MODEL}, files={"image": PHOTO}, timeout=TIMEOUT_S)
    text = httpx.post(v0(service), json={"model_type": MODEL, "image": encoded()}, timeout=TIMEOUT_S)
    assert (form.json(), text.json()) == (EXPECTED, EXPECTED)


def test_aiohttp_with_several_requests_at_once(service: Service) -> None:
    async def post(session: aiohttp.ClientSession) -> object:
        form = aiohttp.FormData({"model_type": MODEL})
        form.add_field("image", io.BytesIO(PHOTO), content_type="image/jpeg")
        async with session.post(v0(service), data=form) as answer:
            return await answer.json()

    async def post_all() -> list[object]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(TIMEOUT_S)) as session:
            return await asyncio.gather(*(post(session) for _ in range(8)))

    assert asyncio.run(post_all()) == [EXPECTED] * 8


RAW_FORMS = {
    # .NET's MultipartFormDataContent: quotes around the boundary, none around names, a charset on the text
    "dotnet": (
        'multipart/form-data; boundary="B"',
        ["Content-Type: text/plain; charset=utf-8", "Content-Disposition: form-data; name=model_type"],
        ["Content-Disposition: form-data; name=image; filename=a.jpg; filename*=utf-8''a.jpg"],
    ),
    "dotnet without a filename": (
        'multipart/form-data; boundary="B"',
        ["Content-Type: text/plain; charset=utf-8", "Content-Disposition: form-data; name=model_type"],
        ["Content-Disposition: form-data; name=image"],
    ),
    # Retrofit with a converter: the text is JSON, and the file has only a type. OkHttp states the lengths of parts.
    "retrofit": (
        "multipart/form-data; boundary=B",
        [
            'Content-Disposition: form-data; name="model_type"',
            "Content-Transfer-Encoding: binary",
            "Content-Type: application/json; charset=UTF-8",
            f"Content-Length: {len(MODEL) + 2}",
        ],
        [
            'Content-Disposition: form-data; name="image"',
            "Content-Transfer-Encoding: binary",
            "Content-Type: image/*",
            f"Content-Length: {len(PHOTO)}",
        ],
    ),
    "dio": (
        "multipart/form-data; boundary=B",
        ['content-disposition: form-data; name="model_type"'],
        [
            'content-disposition: form-data; name="image"; filename="a%22b.jpg"',
            "content-type: application/octet-stream",
        ],
    ),
}


@pytest.mark.parametrize("name", RAW_FORMS)
def test_forms_of_other_languages(service: Service, name: str) -> None:
    content_type, text_headers, file_headers = RAW_FORMS[name]
    text = f'"{MODEL}"' if "json" in "".join(text_headers) else MODEL
    parts = [("\r\n".join(text_headers), text.encode()), ("\r\n".join(file_headers), PHOTO)]
    body = b"".join(b"--B\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + b"--B--\r\n"
    assert send_raw(service, content_type, body) == EXPECTED


def send_raw(service: Service, content_type: str, body: bytes) -> object:
    address = urlsplit(service.url)
    head = (
        f"POST /api/v0/inferences/ HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {content_type}\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S) as client:
        client.sendall(head.encode() + body)
        answer = b""
        while data := client.recv(1 << 16):
            answer += data
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def encoded() -> str:
    return base64.b64encode(PHOTO).decode()


def json_body() -> bytes:
    image = f"DATA:image/jpeg;name=a.jpg;base64,{encoded()}"
    return b"\xef\xbb\xbf" + json.dumps({"model_type": MODEL, "image": image}).encode()


def test_livez_is_answered_for_every_host_header(service: Service) -> None:
    for path in ("/livez", "/readyz"):
        answer = requests.get(service.url + path, headers={"Host": "10.0.0.1"}, timeout=TIMEOUT_S)
        assert answer.status_code == 200


NODE_PACKAGES = ROOT / ".run" / "node"  # `make test_e2e` installs them there


def ask_from_node(service: Service, *folder: str) -> dict[str, tuple[int, dict[str, str]]]:
    """Return the answer to each client of clients.mjs."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    script = Path(__file__).with_name("node") / "clients.mjs"
    command = ["node", str(script), v0(service), str(PHOTO_FILE), MODEL, *folder]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout.splitlines()
    return {name: (status, body) for name, status, body in map(json.loads, lines)}


def check_node(answers: dict[str, tuple[int, dict[str, str]]], count: int) -> None:
    """Check the answers. Clients that send a whole body before they read still get their 413."""
    assert len(answers) == count
    for name, (status, body) in answers.items():
        if "too large" in name:
            assert (status, body["code"]) == (413, "request_too_large"), name
        else:
            assert (status, body) == (200, EXPECTED), name


@pytest.mark.e2e
def test_clients_of_node_itself(service: Service) -> None:
    check_node(ask_from_node(service), 5)


@pytest.mark.e2e
def test_axios_form_data_and_undici(service: Service) -> None:
    if not (NODE_PACKAGES / "node_modules" / "axios").is_dir():
        pytest.skip("axios, form-data and undici are not installed: make test_e2e")
    check_node(ask_from_node(service, str(NODE_PACKAGES)), 12)


@pytest.mark.e2e
def test_web_pages_of_an_allowed_origin_may_call_the_api(service: Service) -> None:
    origin, path = "https://app.example", "/api/v1/history/"
    preflight = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "idempotency-key",
    }
    answer = requests.get(service.url + path, headers={"Origin": origin}, timeout=TIMEOUT_S)
    assert "Access-Control-Allow-Origin" not in answer.headers
    service.start("web", DJANGO_CORS_ALLOWED_ORIGINS=origin, WEB_BODY_TIMEOUT_S="2")
    for url in (v0(service), service.url + path):
        allowed = requests.options(url, headers=preflight, timeout=TIMEOUT_S).headers
        assert allowed["Access-Control-Allow-Origin"] == origin
        assert "idempotency-key" in allowed["Access-Control-Allow-Headers"]
    answer = requests.get(service.url + path, headers={"Origin": origin}, timeout=TIMEOUT_S)
    assert "Location" in answer.headers["Access-Control-Expose-Headers"]
    check_refusals(service, origin, allowed=True)
    check_refusals(service, "https://evil.example", allowed=False)
    foreign = requests.get(service.url + path, headers={"Origin": "https://evil.example"}, timeout=TIMEOUT_S)
    assert "Access-Control-Allow-Origin" not in foreign.headers


REFUSED = {
    408: b"Content-Length: 9\r\n\r\n",
    413: b"Content-Length: 999999999\r\n\r\n",
    431: b"X: " + b"x" * 40_000 + b"\r\n\r\n",
    501: b"Transfer-Encoding: gzip, chunked\r\n\r\n",
}


def check_refusals(service: Service, origin: str, *, allowed: bool) -> None:
    """Check whether a page may read the answers that the HTTP server gives without the application."""
    address = urlsplit(service.url)
    for status, rest in REFUSED.items():
        head = f"POST /api/v0/inferences/ HTTP/1.1\r\nHost: {address.netloc}\r\nOrigin: {origin}\r\n".encode()
        with socket.create_connection((address.hostname, address.port), timeout=TIMEOUT_S) as client:
            client.sendall(head + rest)
            answer = b""
            while data := client.recv(1 << 16):
                answer += data
        lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        assert lines[0].split()[1] == str(status)
        assert (f"Access-Control-Allow-Origin: {origin}" in lines) is allowed
        assert any(line.startswith("Access-Control-Expose-Headers: Location, Retry-After") for line in lines) is allowed
