"""What reaches the API and what never does, byte by byte on a string transport."""

from __future__ import annotations

from typing import Any

import pytest
from webline import BODY, HEADERS, IDLE_S, REQUEST_LINE, Line


@pytest.fixture
def line() -> Any:
    made = Line()
    yield made
    made.close()


def test_a_query_stays_whole_and_undecoded(line: Line) -> None:
    line.feed(b"GET /execute?code=a;b%26c+d HTTP/1.1\r\nHost: x\r\n\r\n")
    assert line.echo.seen == [(b"/execute", b"code=a;b%26c+d", 0)]


@pytest.mark.parametrize("size", [16_384, 20_000, 70_000, REQUEST_LINE - 100])
def test_a_long_request_line_arrives_to_its_last_byte(line: Line, size: int) -> None:
    line.feed(b"GET /execute?code=" + b"x" * size + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [len(query) for _, query, _ in line.echo.seen] == [size + 5]


def test_a_longer_one_is_414_and_names_the_other_way(line: Line) -> None:
    line.feed(b"GET /execute?code=" + b"x" * REQUEST_LINE + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert line.status() == 414
    assert b"POST" in line.transport.value()
    assert line.transport.disconnecting
    assert line.echo.seen == []


def test_headers_of_their_full_size_pass_and_larger_ones_are_431(line: Line) -> None:
    ok = b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: %s\r\n" % (n, b"x" * 1000) for n in range(60))
    line.feed(ok + b"\r\n")
    assert len(line.echo.seen) == 1
    for head in (
        b"".join(b"A%d: %s\r\n" % (n, b"x" * 1000) for n in range(200)),
        b"A: " + b"x" * (HEADERS * 5) + b"\r\n",
    ):
        other = Line()
        other.feed(b"GET / HTTP/1.1\r\n" + head + b"\r\n")
        assert other.status() == 431
        assert other.echo.seen == []
        other.close()


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(line: Line) -> None:
    line.feed(
        b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        b"Content-Length: 100000000000\r\n\r\n"
    )
    assert line.status() == 413
    assert b"100 Continue" not in line.transport.value()
    line.feed(b"x" * 200_000)
    assert line.echo.seen == []


def test_a_chunked_body_is_bounded_as_it_arrives(line: Line) -> None:
    line.feed(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"%x\r\n" % (1 << 20) + b"y" * (1 << 20) + b"\r\n"
    sent = 0
    while not line.transport.disconnecting and sent < 3 * BODY:
        line.feed(chunk)
        sent += 1 << 20
    assert line.status() == 413
    assert sent <= BODY + (2 << 20)
    assert line.echo.seen == []


def test_a_body_of_the_full_size_is_kept_in_memory(line: Line) -> None:
    line.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % BODY)
    line.feed(b"z" * BODY)
    assert [size for _, _, size in line.echo.seen] == [BODY]


@pytest.mark.parametrize(
    "rubbish",
    [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"],
)
def test_what_is_not_http_gets_a_400_with_a_word(line: Line, rubbish: bytes) -> None:
    line.feed(rubbish)
    assert line.status() == 400
    assert b"RFC 9112" in line.transport.value()
    assert line.echo.seen == []


def test_a_connection_that_says_nothing_is_closed(line: Line) -> None:
    line.clock.advance(IDLE_S + 1)
    assert line.transport.disconnecting


def test_pipelined_requests_are_answered_in_order(line: Line) -> None:
    one = b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    line.feed(one + one.replace(b"POST /1", b"POST /2"))
    assert len(line.echo.seen) == 1, "others have their turn between two of one client's"
    line.clock.advance(0)
    assert [path for path, _, _ in line.echo.seen] == [b"/1", b"/2"]
    assert line.transport.value().count(b"200 OK") == 2
