from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory

from runyard.sched.addresses import AddressError, TcpPlace, UnixPlace, dialled, parse

GOOD = [
    ("unix:/run/w1", UnixPlace("/run/w1"), "unix:/run/w1"),
    ("tcp:127.0.0.1:7070", TcpPlace("127.0.0.1", 7070), "tcp:127.0.0.1:7070"),
    ("tls:127.0.0.1:1", TcpPlace("127.0.0.1", 1, always_tls=True), "tls:127.0.0.1:1"),
    ("tcp:[::1]:65535", TcpPlace("::1", 65535), "tcp:[::1]:65535"),
    ("tcp:\\:\\:1:7070", TcpPlace("::1", 7070), "tcp:[::1]:7070"),
    ("tcp:worker-1.example.:7070", TcpPlace("worker-1.example.", 7070), None),
    ("tcp:localhost:7070", TcpPlace("localhost", 7070), None),
    ("tcp:10.0.0.1.in-addr.arpa:7", TcpPlace("10.0.0.1.in-addr.arpa", 7), None),
]


@pytest.mark.parametrize(("text", "place", "said"), GOOD, ids=[text for text, _, _ in GOOD])
def test_an_address_is_read(text: str, place: object, said: str | None) -> None:
    assert parse(text) == place
    assert str(parse(text)) == (said or text)
    assert not isinstance(place, TcpPlace) or place.named is (said is None)


BAD = [
    ("", "must be unix:PATH"),
    ("serial:x", "must be unix:PATH"),
    ("tcp:", "port is missing"),
    ("tcp:host", "port is missing"),
    ("tcp:host:", "1 to 65535"),
    ("tcp:127.0.0.1:99999", "1 to 65535"),
    ("tcp:127.0.0.1:0", "1 to 65535"),
    ("tcp:127.0.0.1:0000199999", "1 to 65535"),
    ("tcp:127.0.0.1:-1", "1 to 65535"),
    ("tcp:127.0.0.1:7070:timeout=5", "1 to 65535"),
    ("tcp::7070", "neither an IP address nor a host's name"),
    ("tcp:300.1.1.1:7070", "neither"),
    ("tcp:127.1:7070", "neither"),
    ("tcp:a..b:7070", "neither"),
    ("tcp:-a:7070", "neither"),
    ("tcp:a b:7070", "neither"),
    ("tcp:ü.example:7070", "neither"),
    ("tcp:" + "a" * 64 + ":7070", "neither"),
    ("tcp:" + "a." * 127 + "a:7070", "neither"),
    ("tcp:[host]:7070", "neither"),
    ("tcp:::1:7070", "in brackets, as [::1]"),
    ("tcp:0.0.0.0:7070", "no worker can be reached"),
    ("tcp:[::]:7070", "no worker can be reached"),
    ("tcp:224.0.0.1:7070", "no worker can be reached"),
    ("unix:", "needs a path"),
    ("unix:/" + "x" * 107, "at most 107 bytes"),
]


@pytest.mark.parametrize(("text", "why"), BAD, ids=[text[:30] for text, _ in BAD])
def test_an_impossible_address_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "tls"),
    [
        ("tcp:127.0.0.1:1", False), ("tcp:[::1]:1", False), ("tcp:[::ffff:127.0.0.1]:1", False),
        ("tls:127.0.0.1:1", True), ("tcp:192.0.2.9:1", True), ("tcp:[2001:db8::1]:1", True),
    ],
)  # fmt: skip
def test_what_leaves_the_machine_is_tls(text: str, tls: bool) -> None:
    reactor: Any = MemoryReactorClock()
    address = dialled(reactor, parse(text))
    factory: Any = None
    pending = address.connect(factory)
    used: Any = reactor.tcpClients[0][2]
    pending.addErrback(lambda _: None)
    assert isinstance(used._wrappedFactory, TLSMemoryBIOFactory) is tls
    assert repr(address) == str(parse(text))
