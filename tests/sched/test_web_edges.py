"""Slow clients, full servers, odd paths and headers."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from webline import LIMITS, Echo, Line

from runyard.sched.answers import Answer
from runyard.sched.web import BoundedSite, WebLimits


@pytest.fixture
def line() -> Any:
    made = Line()
    yield made
    made.close()


def test_a_head_that_drips_in_is_refused_in_time_however_often_it_drips(line: Line) -> None:
    line.feed(b"GET / HTTP/1.1\r\nHost: x\r\n")
    for _ in range(30):
        line.feed(b"A: b\r\n")
        line.clock.advance(1)
    assert line.status() == 408
    assert line.transport.disconnecting
    assert line.echo.seen == []


def test_a_body_that_drips_in_is_refused_and_a_steady_one_is_not(line: Line) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    line.feed(head)
    for _ in range(30):
        line.feed(b"x" * 40_000)
        line.clock.advance(5)
    assert [size for _, _, size in line.echo.seen] == [1_000_000]
    line.feed(head)
    for _ in range(20):
        line.feed(b"x" * 100)
        line.clock.advance(1)
    assert b" 408 " in line.transport.value()
    assert len(line.echo.seen) == 1


def test_time_that_a_task_takes_is_not_counted_against_its_request(line: Line) -> None:
    line.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(line.echo.seen) == 1
    line.clock.advance(LIMITS.head + 1)
    assert b" 408 " not in line.transport.value()


def test_one_connection_too_many_is_told_so_and_room_comes_back() -> None:
    first = Line(WebLimits(connections=1))
    second = Line(site=first.site)
    assert second.status() == 503
    assert second.transport.disconnecting
    second.close()
    first.close()
    third = Line(site=first.site)
    third.channel.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert third.status() == 200
    third.close()
    for call in first.clock.getDelayedCalls():
        call.cancel()


class HalfClosing(StringTransport):
    half_closed = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True


def test_a_refused_client_that_still_sends_is_listened_to_for_a_while_and_not_kept() -> None:
    made = Line()
    transport = HalfClosing()
    made.channel.transport = transport
    made.channel.dataReceived(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    assert int(transport.value().split()[1]) == 413
    assert transport.half_closed
    assert not transport.disconnecting
    for _ in range(100):
        made.channel.dataReceived(b"x" * 65_536)
    assert not made.channel._buffer
    made.clock.advance(LIMITS.linger)
    assert transport.disconnected
    made.close()


def test_the_gate_answers_before_anything_is_routed() -> None:
    echo, clock = Echo(), Clock()
    site = BoundedSite(echo, clock, LIMITS, lambda request: Answer(403, b"no", "text/plain"))
    line = Line(site=site)
    line.feed(b"GET /execute?code=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert line.status() == 403
    assert line.transport.value().endswith(b"no")
    assert echo.seen == []
    line.close()
    for call in clock.getDelayedCalls():
        call.cancel()


PLAIN = [b"/", b"/execute", b"/tasks/0190-ab_c.d~", b"/page/app.js", b"/a/b/c", b"/execute/"]


ODD = [
    b"//execute", b"/%65xecute", b"/execut%65", b"/execute%2f", b"/tasks//1", b"/tasks/1//",
    b"/%ff",
    b"/execute%", b"\\execute", b"/a\\b", b"execute", b"*", b"http://127.0.0.1/execute",
    b"HTTP:/execute", b"/\x80", b"/caf\xa9", b"///", b"/%00",
]  # fmt: skip


@pytest.mark.parametrize("path", PLAIN)
def test_a_path_that_is_read_in_one_way_only_passes(line: Line, path: bytes) -> None:
    line.feed(b"GET " + path + b"?a=%41//b HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert line.echo.seen == [(path, b"a=%41//b", 0)]


@pytest.mark.parametrize("path", ODD)
def test_one_that_routing_would_read_otherwise_never_gets_to_it(path: bytes) -> None:
    echo, clock, asked = Echo(), Clock(), list[Any]()
    line = Line(site=BoundedSite(echo, clock, LIMITS, asked.append))
    line.feed(b"GET " + path + b"?code=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert line.status() in (400, 404)
    assert b"application/problem+json" in line.transport.value()
    assert (asked, echo.seen) == ([], [])
    line.close()
    for call in clock.getDelayedCalls():
        call.cancel()


HOSTS = [b"localhost", b"LOCALHOST:5000", b"a.b.", b"127.0.0.1:1", b"[::1]", b"[::1]:5000", b"a_b:"]


NO_HOSTS = [
    b"", b"\xff\xfe", b"\xc3\xa4" * 70 + b".x", b"a" * 64 + b".x", b".".join([b"a" * 60] * 5),
    b"a..b", b".", b":80", b"a:b", b"a:123456", b"[::1", b"::1", b"[x]", b"[fe80::1%1]", b"a b",
    b"a@b",
    b"a/b", b"[1.2.3.4]", b"a\r\nHost: b",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_names_and_addresses_are_hosts(line: Line, host: bytes) -> None:
    line.feed(b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert line.status() == 200


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_or_two_is_a_problem_on_every_path(line: Line, host: bytes) -> None:
    line.feed(b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    assert line.status() == 400
    assert b"application/problem+json" in line.transport.value()
    assert line.echo.seen == []


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (b"9" * 5000, 413), (b"9" * 16, 413), (b"0" * 5000, 200), (b"1" + b"0" * 4400, 413),
        (b"0" * 5000 + b"2", 200), (b"-1", 400), (b"+1", 400), (b"1_0", 400), (b"\xb2", 400),
        (b"", 400), (b"1, 1", 400), (b"0x1", 400),
    ],
)  # fmt: skip
def test_a_length_of_any_digits_has_an_answer(line: Line, length: bytes, status: int) -> None:
    line.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\nA: b\r\n\r\nab")
    assert line.status() == status


@pytest.mark.parametrize("name", ["Accept", "Content-Type", "Origin", "User-Agent", "Prefer"])
def test_a_header_of_any_bytes_can_be_read(name: str) -> None:
    echo, clock, read = Echo(), Clock(), list[Any]()

    def gate(request: Any) -> None:
        read.extend((request.getHeader(name), request.getHeader(name.encode())))

    line = Line(site=BoundedSite(echo, clock, LIMITS, gate))
    line.feed(b"GET / HTTP/1.1\r\n" + name.encode() + b": \xff\xfe\r\n\r\n")
    assert read == ["\xff\xfe", b"\xff\xfe"]
    line.close()
    for call in clock.getDelayedCalls():
        call.cancel()


def test_one_connection_too_many_does_not_linger() -> None:
    first = Line(WebLimits(connections=1))
    channel: Any = first.site.buildProtocol(None)
    transport = HalfClosing()
    channel.makeConnection(transport)
    assert b" 503 " in transport.value()
    assert transport.disconnecting
    assert not transport.half_closed
    channel.connectionLost(Failure(ConnectionDone()))
    first.close()


def test_a_drain_closes_what_is_idle_and_answers_what_is_asked() -> None:
    idle = Line()
    site = idle.site
    busy, halfway, lingering = Line(site=site), Line(site=site), Line(site=site, kind=HalfClosing)
    busy.feed(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
    halfway.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    lingering.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
    fired: list[None] = []
    site.when_answered().addCallback(fired.append)
    assert [each.transport.disconnecting for each in (idle, busy, halfway, lingering)] == [
        True, False, True, True,
    ]  # fmt: skip
    assert b" 503 " in halfway.transport.value()
    assert site.buildProtocol(None) is None
    for each in (idle, halfway, lingering):
        each.close()
    assert fired == []
    (held,) = idle.echo.held
    held.write(b"late")
    held.finish()
    assert b"Connection: close" in busy.transport.value()
    assert busy.transport.value().count(b"HTTP/1.1 ") == 1
    assert busy.transport.disconnecting
    site.when_answered().addCallback(fired.append)
    assert fired == [], "it is written, and not yet sent"
    busy.close()
    assert fired == [None, None]
    site.when_answered().addCallback(fired.append)
    assert len(fired) == 3
    for call in idle.clock.getDelayedCalls():
        call.cancel()
