"""`image_url`: the service fetches the image, here from real servers on loopback."""

from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from moon_vision_challenge.classification import remote_image
from moon_vision_challenge.classification.models import Inference
from moon_vision_challenge.classification.tests import fake_model_server as fake
from moon_vision_challenge.classification.tests import pictures
from moon_vision_challenge.classification.tests.posting import V0, V1
from moon_vision_challenge.classification.tests.waiting import LIMIT_S
from moon_vision_challenge.conftest import StartFake
from moon_vision_challenge.http_client import guarded
from moon_vision_challenge.tests.dns_server import Resolve
from moon_vision_challenge.tests.peer import Peer, StartPeer, ok


@pytest.fixture(autouse=True)
def _allowed(settings: Settings, sent: list[int]) -> None:
    settings.ALLOW_IMAGE_URLS = settings.IMAGE_URL_ALLOW_PRIVATE_ADDRESSES = True


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


def post(client: APIClient, url: str, image_url: Any, model_type: str = "efficientnet_lite0") -> Any:
    return client.post(url, {"model_type": model_type, "image_url": image_url}, format="json")


def assert_names_the_field(response: Any, words: str) -> None:
    assert (response.status_code, set(response.json())) == (400, {"image_url"})
    assert words in response.json()["image_url"][0]


def test_v0_classifies_the_image_at_the_url(
    client: APIClient, start_fake: StartFake, start_peer: StartPeer, jpeg: bytes
) -> None:
    start_fake(fake.predicts(281))
    peer = start_peer(ok(jpeg))
    for answer in (post(client, V0, peer.url), client.post(V0, {"model_type": "resnet", "image_url": peer.url})):
        assert (answer.status_code, answer.json()) == (200, {"label": "tabby"})
    assert peer.requests[0].startswith(b"GET / HTTP/1.1\r\n")
    assert b"Authorization" not in peer.requests[0]


@pytest.mark.django_db
def test_v1_stores_the_image_at_the_url(client: APIClient, start_peer: StartPeer, jpeg: bytes) -> None:
    assert post(client, V1, start_peer(ok(jpeg)).url).status_code == 201
    assert Inference.objects.get().image.read() == jpeg


@pytest.mark.parametrize("url", [V0, V1])
def test_it_is_off_unless_the_operator_allows_it(
    client: APIClient, start_peer: StartPeer, jpeg: bytes, settings: Settings, url: str
) -> None:
    settings.ALLOW_IMAGE_URLS = False
    peer = start_peer(ok(jpeg))
    assert_names_the_field(post(client, url, peer.url), "does not fetch")
    assert peer.connections == []


@pytest.mark.parametrize("url", [V0, V1])
def test_a_request_that_is_refused_anyway_fetches_nothing(
    client: APIClient, start_peer: StartPeer, jpeg: bytes, url: str
) -> None:
    peer = start_peer(ok(jpeg))
    assert set(post(client, url, peer.url, model_type="dogs").json()) == {"model_type"}
    both = {"model_type": "resnet", "image_url": peer.url, "image": pictures.data_uri(jpeg)}
    assert_names_the_field(client.post(url, both, format="json"), "not both")
    assert peer.connections == []


@pytest.mark.parametrize(
    ("image_url", "words"),
    [
        (None, "Send a URL"),
        ("", "Send a URL"),
        (17, "Send a URL"),
        (["https://example.com"], "Send a URL"),
        ("nonsense", "not valid"),
        ("ftp://example.com/a.jpg", "must begin with"),
        ("file:///etc/passwd", "must begin with"),
        ("https://user:word@example.com/a.jpg", "user name"),
        ("https://example.com/" + "a" * 2000, "too long"),
    ],
)
def test_what_is_not_a_url_of_the_web_is_refused(client: APIClient, image_url: Any, words: str) -> None:
    assert_names_the_field(post(client, V0, image_url), words)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]"]
)
def test_only_public_addresses_are_fetched_from(
    client: APIClient, start_peer: StartPeer, jpeg: bytes, settings: Settings, host: str
) -> None:
    settings.IMAGE_URL_ALLOW_PRIVATE_ADDRESSES = False
    peer = start_peer(ok(jpeg), addresses=("127.0.0.1", "::1"))
    assert_names_the_field(post(client, V0, f"http://{host}:{peer.port}/"), "not public")
    assert peer.connections == []


def test_a_redirect_is_followed(client: APIClient, start_fake: StartFake, start_peer: StartPeer, jpeg: bytes) -> None:
    start_fake(fake.predicts(281))
    peer = start_peer(ok(jpeg))
    for status in (301, 302, 303, 307, 308):
        first = start_peer(redirect(f"{peer.url}photo", status))
        assert post(client, V0, first.url).json() == {"label": "tabby"}
    assert peer.requests[0].startswith(b"GET /photo ")


def test_three_redirects_are_followed_and_no_more(
    client: APIClient, start_fake: StartFake, start_peer: StartPeer, jpeg: bytes
) -> None:
    start_fake(fake.predicts(281))
    url = start_peer(ok(jpeg)).url
    for _ in range(3):
        url = start_peer(redirect(url)).url
    assert post(client, V0, url).status_code == 200
    assert_names_the_field(post(client, V0, start_peer(redirect(url)).url), "redirects more than 3 times")


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://127.0.0.1:{port}/", "not public"),
        ("http://[::ffff:127.0.0.1]:{port}/", "not public"),
        ("file:///etc/passwd", "must begin with"),
        ("gopher://127.0.0.1:{port}/_GET", "must begin with"),
        ("http://user:word@127.0.0.1:{port}/", "not public"),  # libcurl drops the credentials
    ],
)
def test_the_target_of_a_redirect_is_judged_as_the_url_itself(
    client: APIClient,
    start_peer: StartPeer,
    resolve: Resolve,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    jpeg: bytes,
    location: str,
    words: str,
) -> None:
    """The first host counts as public. Its address stands for a public one, which a test cannot have."""
    settings.IMAGE_URL_ALLOW_PRIVATE_ADDRESSES = False
    inner = start_peer(ok(jpeg))
    outer = start_peer(redirect(location.format(port=inner.port)), addresses=("127.0.0.2",))
    resolve(["127.0.0.2"])
    public = ip_address("127.0.0.2")
    monkeypatch.setattr(guarded, "is_public", lambda address: ip_address(address) == public)
    assert_names_the_field(post(client, V0, f"http://photos.example:{outer.port}/"), words)
    assert (len(outer.requests), inner.connections) == (1, [])


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "returned 404"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "returned 302"),
        (b"HTTP/1.1 206 Partial Content\r\nContent-Length: 0\r\n\r\n", "returned 206"),
        (ok(b""), "empty"),
        (ok(b"<html>"), "HTML"),
        (ok(pictures.photo("JPEG")[:1000]), "cut short"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nabc", "complete answer"),
        (b"not HTTP", "complete answer"),
        (b"", "complete answer"),
    ],
)
def test_an_answer_without_a_sound_image_is_400_on_the_field(
    client: APIClient, start_peer: StartPeer, response: bytes, words: str
) -> None:
    assert_names_the_field(post(client, V0, start_peer(response).url), words)


@pytest.mark.django_db
def test_a_damaged_image_is_400_on_the_field_in_v1_too(client: APIClient, start_peer: StartPeer, jpeg: bytes) -> None:
    assert_names_the_field(post(client, V1, start_peer(ok(jpeg[:-2000])).url), "cut short")
    assert Inference.objects.count() == 0


def test_a_port_that_nobody_listens_on_is_400_on_the_field(client: APIClient) -> None:
    with Peer() as gone:
        url = gone.url
    response = post(client, V0, url)
    assert_names_the_field(response, "cannot be reached")
    assert "127.0.0.1" not in response.content.decode()


@pytest.mark.parametrize("head", [b"Content-Length: 999999999\r\n", b"", b"Transfer-Encoding: chunked\r\n"])
def test_more_bytes_than_an_image_may_have_are_not_read(
    client: APIClient, start_peer: StartPeer, settings: Settings, head: bytes
) -> None:
    settings.INFERENCE_MAX_IMAGE_BYTES = 100_000
    block = b"x" * 65_536
    endless = b"%x\r\n%b\r\n" % (len(block), block) if b"chunked" in head else block
    peer = start_peer(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n", endless=endless)
    assert_names_the_field(post(client, V0, peer.url), "too large")
    assert peer.hung_up.wait(LIMIT_S)


def test_a_server_that_stalls_is_given_up(client: APIClient, start_peer: StartPeer, settings: Settings) -> None:
    settings.IMAGE_URL_TIMEOUT_S = 0.2
    peer = start_peer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", holds=True)
    assert_names_the_field(post(client, V0, peer.url), "within 0.2 s")
    assert peer.hung_up.wait(LIMIT_S)


def test_redirects_share_one_deadline(client: APIClient, start_peer: StartPeer, settings: Settings) -> None:
    settings.IMAGE_URL_TIMEOUT_S = 0.5
    stalls = start_peer(b"", holds=True)
    assert_names_the_field(post(client, V0, start_peer(redirect(stalls.url)).url), "within 0.5 s")


def test_fetches_above_the_limit_are_503(
    client: APIClient, start_peer: StartPeer, settings: Settings, jpeg: bytes
) -> None:
    settings.IMAGE_URL_MAX_REQUESTS = 1
    peer = start_peer(ok(jpeg))
    with remote_image._fetches.place() as has_place:
        assert has_place
        refused = post(client, V0, peer.url)
    assert (refused.status_code, refused.json()["code"]) == (503, "image_fetch_busy")
    assert int(refused["Retry-After"]) >= 1
    assert peer.connections == []


def test_fetches_above_the_limit_of_an_address_are_503_whatever_leads_there(
    client: APIClient, start_fake: StartFake, start_peer: StartPeer, resolve: Resolve, settings: Settings, jpeg: bytes
) -> None:
    settings.IMAGE_URL_MAX_REQUESTS = 9
    start_fake(fake.predicts(281))
    peer = start_peer(ok(jpeg), addresses=("127.0.0.1", "127.0.0.2"))
    leads_there = start_peer(redirect(peer.url), addresses=("127.0.0.3",))
    resolve(["127.0.0.1"])
    with ExitStack() as stack:
        for _ in range(remote_image.FETCHES_PER_ADDRESS):
            assert remote_image._address_limit.take("127.0.0.1")
            stack.callback(remote_image._address_limit.give_back, "127.0.0.1")
        for host, port in (("127.0.0.1", peer.port), ("photos.example", peer.port), ("127.0.0.3", leads_there.port)):
            refused = post(client, V0, f"http://{host}:{port}/")
            assert (refused.status_code, refused.json()["code"]) == (503, "image_fetch_busy")
        assert post(client, V0, f"http://127.0.0.2:{peer.port}/").status_code == 200
    assert post(client, V0, peer.url).status_code == 200
    assert peer.connections == ["127.0.0.2", "127.0.0.1"]
    assert not remote_image._address_limit._open


@pytest.mark.django_db
def test_a_key_belongs_to_the_image_wherever_it_came_from(
    client: APIClient, start_peer: StartPeer, jpeg: bytes
) -> None:
    key = {"Idempotency-Key": "k-1"}
    body = {"model_type": "efficientnet_lite0"}
    first = client.post(V1, {**body, "image_url": start_peer(ok(jpeg)).url}, headers=key)
    second = client.post(V1, {**body, "image": pictures.upload(jpeg)}, headers=key)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
