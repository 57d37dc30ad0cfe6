"""Which addresses tasks may reach, in every spelling, and what rules add."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runyard.worker.network.environment import environment
from runyard.worker.network.kinds import SPECIAL, Address, kind_of, unmapped
from runyard.worker.network.policy import Policy, parse_allow
from runyard.worker.network.targets import Target, read_host, read_port


def words(text: str) -> list[str]:
    return text.split(" ")


KINDS = {
    "loopback": "127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.255 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1"
    " ::127.0.0.1 64:ff9b::127.0.0.1 64:ff9b::7f00:1 2002:7f00:1:: 2002:7fff:ffff:1::9"
    " 2001:0:7f00:1::1 2001:0:808:808::80ff:fffe 0:0:0:0:0:0:0:1 0:0:0:0:0:ffff:127.0.0.1",
    "unspecified": "0.0.0.0 0.0.0.1 0.255.255.255 :: ::ffff:0.0.0.0 64:ff9b::",
    "private": "10.0.0.0 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1"
    " 192.168.255.255 fc00::1 fd00::1 fdff:ffff::1 64:ff9b:1::1 64:ff9b:1:fffe::10.0.0.1"
    " fec0::1 feff::1 ::ffff:10.1.2.3 ::ffff:c0a8:1 64:ff9b::10.0.0.1 2002:a00:1:: ::10.0.0.1"
    " 2002:c0a8:101::1 2001:0:ac10:1::1 2001:0:808:808:0:0:f5ff:fffe",
    "CGNAT": "100.64.0.0 100.64.0.1 100.127.255.255 ::ffff:100.64.0.1 64:ff9b::100.64.0.1",
    "metadata": "169.254.169.254 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe 64:ff9b::a9fe:a9fe"
    " 2002:a9fe:a9fe:: ::169.254.169.254 fd00:ec2::254 fd20:ce::254 100.100.100.200"
    " 168.63.129.16 192.0.0.192 2001:0:a9fe:a9fe::1",
    "link-local": "169.254.0.0 169.254.1.1 169.254.255.255 fe80::1 fe80::a9fe:a9fe febf::1"
    " ::ffff:169.254.170.2 64:ff9b::169.254.1.1",
    "multicast": "224.0.0.1 239.255.255.255 ff00::1 ff02::1 ff0e::1 ::ffff:224.0.0.1",
    "broadcast": "255.255.255.255 ::ffff:255.255.255.255 64:ff9b::ffff:ffff",
    "documentation": "192.0.2.1 198.51.100.9 203.0.113.255 2001:db8::1 3fff::1 3fff:fff::1",
    "benchmark": "198.18.0.0 198.19.255.255 2001:2::1 64:ff9b::198.18.0.1",
    "reserved": "240.0.0.1 254.1.2.3 192.0.0.1 192.88.99.1 2001:1::1 2001:20::1 2001:10::1 100::1"
    " 4000::1 8000::1 5f00::1 1::1 ::8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b:2::1 e000::1 200::1"
    " ::ffff:240.0.0.1",
}  # fmt: skip
REFUSED = [(text, kind) for kind, texts in KINDS.items() for text in texts.split()]
PUBLIC = words(
    "8.8.8.8 1.1.1.1 1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 "
    "126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 "
    "192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0 "
    "198.17.255.255 198.20.0.0 198.51.99.255 203.0.112.255 223.255.255.255 168.63.129.15 "
    "2606:4700::1111 2001:4860:4860::8888 2a00:1450::1 2620:4f:8000::1 2000::1 "
    "::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1 2001:0:808:808::f7f7:f7f7 "
    "2001:200::1 2400::1 3ffe::1"
)
SPELLINGS = words(
    "127.1 127.0.1 0x7f.1 0x7f000001 0X7F000001 2130706433 017700000001 0177.0.0.1 "
    "127.0.0.01 0x7f.0.0.1 127.0.0.0x1 1 0 0x0 10.1 localhost.1 a.0x7f 127.0.0.1.. "
    "256.256.256.256 1.2.3.4.5 .127.0.0.1 127..1 %31%32%37.0.0.1 127.0.0.1%00 "
    "fe80::1%eth0 ::1%lo [::1%25lo] [fe80::1%1] ::ffff:0x7f.1 [127.0.0.1] [::1 ::1] :::1 "
    "1:2:3 127.0.0.1\t 127.0.0.1\n \u2460.\u2461 a..b \uff11\uff12\uff17.0.0.1 "
    "127\u30020\u30020\u30021 -a.test a-.test a_b-.c a!b exa\u0301mple.test "
    "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54 a,b a/b a\\b user@host a:80 "
    "0x 1.0x"
)


def asked(text: str, port: int = 80) -> Target:
    return Target(read_host(text), port)


def refusal(policy: Policy, text: str, port: int = 80, *, own: bool = False) -> str | None:
    return policy.refuses(asked(text, port), ip_address(text), own=own)


@pytest.mark.parametrize(("text", "kind"), REFUSED)
def test_special_addresses_are_refused_in_words(text: str, kind: str) -> None:
    said = refusal(Policy(), text)
    assert said is not None
    assert kind in said
    assert said.endswith("; tasks reach public addresses only")


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_reached(text: str) -> None:
    assert refusal(Policy(), text) is None


def test_the_words_of_the_contract() -> None:
    expected = "127.0.0.1 is a loopback address; tasks reach public addresses only"
    assert refusal(Policy(), "127.0.0.1") == expected
    named = Policy().refuses(asked("Localhost."), ip_address("127.0.0.1"))
    assert (
        named
        == f"localhost resolves to 127.0.0.1, which is {expected.removeprefix('127.0.0.1 is ')}"
    )


@pytest.mark.parametrize("text", ["", " ", *SPELLINGS, "a" * 64 + ".test", "a." * 127 + "test"])
def test_other_spellings_are_no_names(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|has a zone") as caught:
        read_host(text)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.COM.", "example.com"), ("a_b.test", "a_b.test"), ("xn--bcher-kva.test",) * 2,
        ("1and1.test", "1and1.test"), ("4.2.x", "4.2.x"),
        ("[2606:4700::1]", IPv6Address("2606:4700::1")),
        ("1.2.3.4", IPv4Address("1.2.3.4")), ("localhost", "localhost"),
    ],
)  # fmt: skip
def test_names_and_addresses(text: str, host: Address | str) -> None:
    assert read_host(text) == host


def embeddings(address: IPv4Address) -> list[IPv6Address]:
    """Give the IPv6 forms that carry an IPv4 address."""
    number = int(address)
    teredo = 0x2001 << 112
    return [
        IPv6Address(0xFFFF << 32 | number), IPv6Address(0x64FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80), IPv6Address(teredo | number << 64 | 1),
        IPv6Address(teredo | 0x08080808 << 64 | number ^ 0xFFFFFFFF), IPv6Address(number),
    ]  # fmt: skip


def spellings(address: Address) -> list[str]:
    """Give the ways to write an address that are one."""
    if isinstance(address, IPv4Address):
        return [str(address)]
    mapped = f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped else address.compressed
    return [address.compressed, address.exploded, address.exploded.upper(), f"[{address}]", mapped]


ANY_REFUSED = st.sampled_from(SPECIAL).flatmap(
    lambda entry: st.integers(int(entry[0].network_address), int(entry[0].broadcast_address)).map(
        IPv4Address if entry[0].version == 4 else IPv6Address
    )
)


@settings(max_examples=300, deadline=None)
@given(ANY_REFUSED, st.integers(1, 65535))
def test_a_special_address_is_refused_in_every_form(address: Address, port: int) -> None:
    teredo = isinstance(address, IPv6Address) and address.teredo is not None
    forms: list[Address] = [] if teredo else [address]
    if isinstance(address, IPv4Address):
        forms += embeddings(address)
    for form in forms:
        for text in spellings(form):
            host = read_host(text)
            assert isinstance(host, (IPv4Address, IPv6Address))
            assert Policy().refuses(Target(host, port), host) is not None, text


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_embedded_address_is_judged_as_itself(address: IPv4Address) -> None:
    mapped, nat64, six_to_four, *_, compatible = embeddings(address)
    special = kind_of(address) is not None
    for form in (mapped, nat64, six_to_four):
        assert (kind_of(form) is not None) == special
    assert kind_of(compatible) is not None
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert special, "the standard library knows better"
    elif special:
        assert any(address in network for network in KNOWN_BETTER)


KNOWN_BETTER = tuple(map(IPv4Network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24")))
"""Global by the registry, and still not for tasks."""


@pytest.mark.parametrize(
    ("rule", "opened", "shut"),
    [
        ("10.0.0.5:80", ["10.0.0.5:80", "::ffff:10.0.0.5:80"], ["10.0.0.5:81", "10.0.0.6:80"]),
        ("10.0.0.5", ["10.0.0.5:80", "10.0.0.5:9"], ["10.0.0.5:25", "10.0.0.6:80"]),
        ("10.0.0.0/8", ["10.9.9.9:80"], ["11.0.0.1:25", "192.168.0.1:80", "64:ff9b::a00:1:80"]),
        ("10.0.0.0/8:443", ["10.9.9.9:443"], ["10.9.9.9:80"]),
        ("8.8.8.8:25", ["8.8.8.8:25", "8.8.8.8:80"], ["8.8.4.4:25", "10.0.0.1:80"]),
        ("[fd00::1]:5432", ["fd00::1:5432"], ["fd00::1:80", "fd00::2:5432"]),
        ("fd00::/8", ["fd00::1:80"], ["fe80::1:80", "::1:80"]),
        ("[fd00::/8]:443", ["fd00::1:443"], ["fd00::1:80"]),
        ("::ffff:10.0.0.5", ["10.0.0.5:80"], ["10.0.0.6:80"]),
        ("127.0.0.1:8000", ["127.0.0.1:8000"], ["127.0.0.2:8000", "::1:8000", "127.0.0.1:80"]),
    ],
)
def test_a_rule_opens_exactly_what_it_says(rule: str, opened: list[str], shut: list[str]) -> None:
    policy = Policy((parse_allow(rule),))
    for place in (*opened, *shut):
        host, _, port = place.rpartition(":")
        assert (refusal(policy, host, int(port)) is None) == (place in opened), place


def test_a_rule_by_name_opens_the_name_alone() -> None:
    policy = Policy((parse_allow("DB.internal.:5432"),))
    private = ip_address("10.0.0.7")
    assert policy.refuses(asked("db.INTERNAL", 5432), private) is None
    assert policy.refuses(asked("db.internal.", 5432), ip_address("127.0.0.1"), own=True) is None
    assert policy.refuses(asked("db.internal", 80), private) is not None
    assert policy.refuses(asked("10.0.0.7", 5432), private) is not None
    assert policy.refuses(asked("evil.test", 5432), private) is not None


def test_the_fleet_is_opened_by_pointed_rules_only() -> None:
    fleet = ip_address("9.9.9.9")
    for rule, port, is_open in [
        ("9.0.0.0/8", 80, False), ("9.9.9.9", 80, True), ("9.0.0.0/8:80", 80, True),
        ("9.9.9.9:80", 80, True), ("9.9.9.9:80", 81, False), ("8.0.0.0/8", 80, False),
    ]:  # fmt: skip
        for policy, own in [
            (Policy((parse_allow(rule),), lambda: frozenset({fleet})), False),
            (Policy((parse_allow(rule),)), True),
        ]:
            said = policy.refuses(asked("9.9.9.9", port), fleet, own=own)
            assert (said is None) == is_open, (rule, own)
            assert said is None or "runyard's own" in said


def test_mail_is_not_open() -> None:
    assert refusal(Policy(), "8.8.8.8", 25) == "port 25 is not open to tasks"
    assert refusal(Policy(), "8.8.8.8", 587) is None


@pytest.mark.parametrize(
    "rule",
    [
        "", ":", ":80", "host", "host:", "host:0", "host:65536", "host:x", "host:-1",
        "host:\uff18\uff10",
        "host:080808", "127.1:80", "0x7f.1:80", "2130706433:80", "*.test:80", "10.0.0.1/8",
        "10.0.0.0/33", "10.0.0.0/8:", "[::1", "[::1]80", "[::1]:", "fe80::1%eth0", "a b:80",
        "http://x:80", "user@host:80", "::1/0", "host/8", "host/8:80",
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_what_is(rule: str) -> None:
    with pytest.raises(ValueError, match=r"a rule is HOST:PORT, ADDRESS\[:PORT\] or CIDR"):
        parse_allow(rule)


def test_ports() -> None:
    assert [read_port(text) for text in ("1", "80", "65535", "00080")] == [1, 80, 65535, 80]


def test_unmapped_leaves_others_alone() -> None:
    for text in ("64:ff9b::1", "::1", "1.2.3.4"):
        assert unmapped(ip_address(text)) == ip_address(text)


def test_environment() -> None:
    variables = environment(4321)
    assert variables["http_proxy"] == variables["HTTPS_PROXY"] == "http://127.0.0.1:4321"
    assert variables["ALL_PROXY"] == variables["all_proxy"] == "socks5h://127.0.0.1:4321"
    assert variables["NO_PROXY"] == variables["no_proxy"] == "localhost,127.0.0.1,::1,[::1]"
    assert len(variables) == 8
