"""Which addresses are public, by the registries of special ones (RFC 6890 and later). Pure."""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Not the standard library's is_global: it differs between versions of Python, and has no words.
# The first network that holds an address says what it is.
_SPECIAL_4 = (
    ("0.0.0.0/8", "an unspecified address"),
    ("127.0.0.0/8", "a loopback address"),
    ("169.254.169.254/32", "a cloud metadata address"),
    ("100.100.100.200/32", "a cloud metadata address"),  # Alibaba
    ("168.63.129.16/32", "a cloud metadata address"),  # Azure; it looks public
    ("192.0.0.192/32", "a cloud metadata address"),  # Oracle
    ("169.254.0.0/16", "a link-local address"),
    ("10.0.0.0/8", "a private address"),
    ("172.16.0.0/12", "a private address"),
    ("192.168.0.0/16", "a private address"),
    ("100.64.0.0/10", "a shared (CGNAT) address"),
    ("192.0.0.0/24", "a reserved address"),
    ("192.0.2.0/24", "a documentation address"),
    ("198.51.100.0/24", "a documentation address"),
    ("203.0.113.0/24", "a documentation address"),
    ("192.88.99.0/24", "a reserved address"),  # the anycast of 6to4
    ("198.18.0.0/15", "a benchmark address"),
    ("224.0.0.0/4", "a multicast address"),
    ("255.255.255.255/32", "the broadcast address"),
    ("240.0.0.0/4", "a reserved address"),
)
_SPECIAL_6 = (
    ("::/128", "an unspecified address"),
    ("::1/128", "a loopback address"),
    ("fd00:ec2::254/128", "a cloud metadata address"),  # AWS
    ("fd20:ce::254/128", "a cloud metadata address"),  # Google
    ("fc00::/7", "a private address"),
    ("64:ff9b:1::/48", "a private address"),  # NAT64 of a site's own
    ("fe80::/10", "a link-local address"),
    ("fec0::/10", "a private address"),
    ("ff00::/8", "a multicast address"),
    ("2001:2::/48", "a benchmark address"),
    ("2001:db8::/32", "a documentation address"),
    ("3fff::/20", "a documentation address"),
    ("2001::/23", "a reserved address"),
)
SPECIAL: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), kind) for network, kind in (*_SPECIAL_4, *_SPECIAL_6)
)
"""What is never reached without a rule: networks and what they are called."""

_UNICAST_6 = IPv6Network("2000::/3")
_MAPPED = IPv6Network("::ffff:0:0/96")
_COMPATIBLE = IPv6Network("::/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")


def unmapped(address: Address) -> Address:
    """Give the IPv4 address that an IPv4-mapped one is for every socket; others as they are."""
    if isinstance(address, IPv6Address) and address in _MAPPED:
        return _low(address)
    return address


def kind_of(address: Address) -> str | None:
    """Say what a special address is; None for one that is public.

    An IPv6 address that stands for an IPv4 one is judged by that one too.
    """
    address = unmapped(address)
    for network, kind in SPECIAL:
        if address.version == network.version and address in network and not _held(address):
            return kind
    if isinstance(address, IPv4Address):
        return None
    for inner in _held(address):
        kind_inside = kind_of(inner)
        if kind_inside is not None:
            return f"another form of {inner}, {kind_inside}"
    public = address in _UNICAST_6 or address in _NAT64
    return None if public else "a reserved address"


def _held(address: Address) -> tuple[IPv4Address, ...]:
    """Give the IPv4 addresses within an IPv6 one of the forms that carry one."""
    if not isinstance(address, IPv6Address) or int(address) <= 1:
        return ()
    if address in _NAT64 or address in _COMPATIBLE:
        return (_low(address),)
    if address in _6TO4:
        return (IPv4Address(int(address) >> 80 & 0xFFFFFFFF),)
    if address in _TEREDO:
        return (
            IPv4Address(int(address) >> 64 & 0xFFFFFFFF),
            IPv4Address(~int(address) & 0xFFFFFFFF),
        )
    return ()


def _low(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
