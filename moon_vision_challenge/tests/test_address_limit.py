"""What counts as one address."""

import pytest

from moon_vision_challenge.http_client import AddressLimit


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%1", "fe80::2%2", True),
    ],
)
def test_an_ipv6_network_is_one_address(first: str, second: str, is_same: bool) -> None:
    limit = AddressLimit(1)
    assert limit.take(first)
    assert limit.take(second) is not is_same
