"""Decides which IP addresses are public, so that this service may connect to them for a client.

The allowlist is global unicast without the blocks of IANA's two special-purpose registries. Python's `is_global` is not
enough: its result differs among the 3.11 releases, and it treats tunnels into private networks as global.

https://www.iana.org/assignments/iana-ipv4-special-registry
https://www.iana.org/assignments/iana-ipv6-special-registry
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_IPV4_SPECIAL = [
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # "this network" (RFC 791)
        "10.0.0.0/8",  # private use (RFC 1918)
        "100.64.0.0/10",  # shared by a provider's customers (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "169.254.0.0/16",  # link-local, also cloud metadata services (RFC 3927)
        "172.16.0.0/12",  # private use (RFC 1918)
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # AMT relays (RFC 7450)
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "192.168.0.0/16",  # private use (RFC 1918)
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved, and limited broadcast (RFC 1112, RFC 919)
    )
]

# RFC 4291. It excludes loopback, unique local (fc00::/7), link-local, site-local (fec0::/10), and multicast addresses,
# IPv4-compatible and IPv4-translated ones (::/96, ::ffff:0:0:0/96), 100::/64, 5f00::/16, and 64:ff9b:1::/48.
_IPV6_GLOBAL_UNICAST = IPv6Network("2000::/3")
_IPV6_SPECIAL = [
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo (2001::/32), benchmarks, AMT, ORCHID, drones (RFC 2928)
        "2001:db8::/32",  # documentation (RFC 3849)
        "2002::/16",  # 6to4 (RFC 3056)
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3fff::/20",  # documentation (RFC 9637)
    )
]
# Their last 32 bits are the IPv4 address of the target. A host without IPv4 reaches all IPv4 addresses through NAT64.
_IPV6_OF_IPV4 = [
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped (RFC 4291)
    IPv6Network("64:ff9b::/96"),  # NAT64 (RFC 6052)
]
_ISATAP_IDENTIFIERS = (0x0000_5EFE, 0x0200_5EFE)  # precede an IPv4 address, under any prefix (RFC 5214)


def is_public(address: str) -> bool:
    """Return whether this is a public IPv4 or IPv6 address. Raises ValueError if it is not an IP address."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return _is_public_ipv4(parsed)
    return _is_public_ipv6(parsed)


def _is_public_ipv4(address: IPv4Address) -> bool:
    return not any(address in block for block in _IPV4_SPECIAL)


def _is_public_ipv6(address: IPv6Address) -> bool:
    if address.scope_id is not None:  # it names an interface of this machine
        return False
    if any(address in block for block in _IPV6_OF_IPV4):
        return _is_public_ipv4(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address not in _IPV6_GLOBAL_UNICAST or any(address in block for block in _IPV6_SPECIAL):
        return False
    return int(address) >> 32 & 0xFFFF_FFFF not in _ISATAP_IDENTIFIERS
