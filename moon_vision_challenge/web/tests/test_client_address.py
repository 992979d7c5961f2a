import pytest
from pytest_django import Settings

from moon_vision_challenge.web.client_address import client_address

CLIENT, PROXY, INGRESS, OTHER = "192.0.2.7", "10.1.2.3", "10.9.9.9", "198.51.100.66"


def address(peer: str, forwarded: str | None = None, **headers: str) -> str:
    meta = {"REMOTE_ADDR": peer, **headers}
    return client_address(meta if forwarded is None else {**meta, "HTTP_X_FORWARDED_FOR": forwarded})


def test_without_a_proxy_nothing_that_a_client_sends_changes_its_address() -> None:
    headers = {
        "HTTP_FORWARDED": f"for={OTHER}",
        "HTTP_X_REAL_IP": OTHER,
        "HTTP_CLIENT_IP": OTHER,
        "HTTP_TRUE_CLIENT_IP": OTHER,
        "HTTP_CF_CONNECTING_IP": OTHER,
    }
    assert address(CLIENT, OTHER, **headers) == CLIENT


@pytest.mark.parametrize(
    ("num_proxies", "peer", "forwarded", "found"),
    [
        (1, PROXY, CLIENT, CLIENT),
        (1, PROXY, f"{OTHER}, {CLIENT}", CLIENT),  # Traefik appends, or a client forges
        (1, PROXY, f"{OTHER},{OTHER},{CLIENT}", CLIENT),
        (2, INGRESS, f"{OTHER}, {CLIENT}, {PROXY}", CLIENT),
        (2, INGRESS, CLIENT, CLIENT),  # a proxy that does not append
        (1, PROXY, None, PROXY),
        (1, PROXY, "", PROXY),
        (1, PROXY, "unknown", PROXY),
        (1, PROXY, f"{CLIENT}, nonsense", PROXY),
        (1, PROXY, f"{CLIENT}, ", PROXY),
        (2, INGRESS, f"nonsense, {PROXY}", PROXY),
        (1, PROXY, f"{CLIENT}:4711", CLIENT),
    ],
)
def test_the_number_of_proxies_says_which_entry_is_true(
    settings: Settings, num_proxies: int, peer: str, forwarded: str | None, found: str
) -> None:
    settings.NUM_PROXIES = num_proxies
    assert address(peer, forwarded, HTTP_FORWARDED=f"for={OTHER}") == found


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        (PROXY, CLIENT, CLIENT),
        (INGRESS, f"{CLIENT}, {PROXY}", CLIENT),
        (INGRESS, f"{OTHER}, {CLIENT}, {PROXY}", CLIENT),
        (INGRESS, f"10.0.0.8, {CLIENT}, {PROXY}", CLIENT),  # a client that pretends to be a proxy
        (OTHER, CLIENT, OTHER),  # a client that bypasses the proxies
        (PROXY, None, PROXY),
        (PROXY, f"{CLIENT}, nonsense", PROXY),
        ("::ffff:10.1.2.3", CLIENT, CLIENT),
        ("fd00::1", CLIENT, CLIENT),
        (PROXY, "10.0.0.8", "10.0.0.8"),  # a client inside the cluster
    ],
)
def test_only_proxies_in_trusted_networks_are_believed(
    settings: Settings, peer: str, forwarded: str | None, found: str
) -> None:
    settings.TRUSTED_PROXIES = ["10.0.0.0/8", "fd00::/8"]
    assert address(peer, forwarded) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("2001:db8:1:2::1", "2001:0DB8:1:2:0::9"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
def test_one_site_is_one_client(one: str, other: str) -> None:
    assert address(one) == address(other)


def test_two_sites_are_two_clients() -> None:
    assert address("2001:db8:1:2::1") != address("2001:db8:1:3::1")
    assert address("192.0.2.7") != address("192.0.2.8")


@pytest.mark.parametrize("entry", ["[2001:db8:1:2::1]:4711", "[2001:db8:1:2::1]", '"[2001:db8:1:2::1]:4711"'])
def test_an_ipv6_entry_may_have_brackets_and_a_port(settings: Settings, entry: str) -> None:
    settings.NUM_PROXIES = 1
    assert address(PROXY, entry) == "2001:db8:1:2::/64"


def test_a_header_of_any_length_is_read_from_its_end(settings: Settings) -> None:
    settings.NUM_PROXIES = 1
    assert address(PROXY, f"{OTHER}," * 3000 + CLIENT) == CLIENT
    assert address(PROXY, "9" * 30_000) == PROXY


def test_a_peer_without_an_address_is_a_client_too() -> None:
    assert address("") == address("unix:") == ""
