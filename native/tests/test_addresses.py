import socket

import pytest

from native import addresses
from native.addresses import allowed_hosts, web_url

LOCAL = "localhost,127.0.0.1,[::1]"


@pytest.mark.parametrize(
    ("web_host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("192.0.2.7", "http://192.0.2.7:8000"),
        ("vision.example.com", "http://vision.example.com:8000"),
    ],
)
def test_the_runner_reaches_the_web_server_wherever_it_listens(web_host: str, url: str) -> None:
    assert web_url({"WEB_HOST": web_host, "WEB_PORT": "8000"}) == url


@pytest.mark.parametrize(
    ("web_host", "given", "names"),
    [
        ("127.0.0.1", "", LOCAL),
        ("127.0.0.1", "vision.example.com, .example.org", f"{LOCAL},vision.example.com,.example.org"),
        ("192.0.2.7", "", f"{LOCAL},192.0.2.7"),
        ("2001:db8::7", "", f"{LOCAL},[2001:db8::7]"),
        ("0.0.0.0", "vision.example.com", f"{LOCAL},vision.example.com"),
        ("0.0.0.0", "*", f"{LOCAL},*"),
    ],
)
def test_the_names_that_the_user_gives_are_added_to_those_of_this_machine(
    web_host: str, given: str, names: str
) -> None:
    assert allowed_hosts(web_host, given) == names


@pytest.mark.parametrize("web_host", ["0.0.0.0", "::"])
def test_a_server_on_all_addresses_answers_to_each_of_them(web_host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_own_addresses", lambda: ["127.0.0.1", "192.0.2.7", "2001:db8::7"])
    monkeypatch.setattr(socket, "gethostname", lambda: "Lab-3")
    assert allowed_hosts(web_host, "") == f"{LOCAL},lab-3,192.0.2.7,[2001:db8::7]"
