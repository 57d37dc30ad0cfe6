"""HTTP through a task's proxy: what is sent on, what comes back, how it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from egress import PUBLIC, Bench, HalfTransport

from runyard.worker.network.framing import MOST_HEAD, MOST_LINE
from runyard.worker.network.proxy import HEAD_S, IDLE_S, LINGER_S

GET = b"GET http://site.test/a?b=c HTTP/1.1\r\nHost: other.test\r\nAccept: x\r\n\r\n"
CONNECT = b"CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\n\r\n"
LINE = b"GET http://site.test/ HTTP/1.1\r\n"
STANDS = b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def said(task: HalfTransport) -> bytes:
    data: bytes = task.value()
    return data


def test_the_uri_counts_not_the_host_header(bench: Bench) -> None:
    task, outside = bench.joined(GET)
    assert bench.dialled == [(PUBLIC, 80)]
    assert outside.value() == (
        b"GET /a?b=c HTTP/1.1\r\nHost: site.test\r\nAccept: x\r\nConnection: close\r\n\r\n"
    )
    outside.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nA: b\r\n\r\nbody")
    outside.protocol.readConnectionLost()
    assert said(task) == b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nbody"
    assert task.wrote_end
    assert outside.gone
    assert not outside.aborted
    task.protocol.readConnectionLost()
    assert task.gone
    assert not task.aborted


def test_fields_of_the_hop_stay_here(bench: Bench) -> None:
    _, outside = bench.joined(
        b"POST http://SITE.test:8080 HTTP/1.1\r\nConnection: X-Mine, Content-Length, close\r\n"
        b"Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\n"
        b"X-Mine: 1\r\nTE: trailers\r\n"
        b"Keep-Alive: 5\r\nUpgrade: h2c\r\nContent-Length: 3\r\nCookie: a=b\r\n\r\nabcdefg"
    )
    assert bench.dialled == [(PUBLIC, 8080)]
    assert outside.value() == (
        b"POST / HTTP/1.1\r\nHost: SITE.test:8080\r\nCookie: a=b\r\nContent-Length: 3\r\n"
        b"Connection: close\r\n\r\nabc"
    )


def test_a_chunked_body_is_checked_and_written_anew(bench: Bench) -> None:
    head = b"POST http://site.test/ HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n"
    body = b"5;a=b\r\nhel\r\n\r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET http://x/"
    _, whole = bench.joined(head + body)
    task, split = bench.joined(head)
    for at in range(len(body)):
        task.protocol.dataReceived(body[at : at + 1])
    for outside in (whole, split):
        sent = outside.value().partition(b"\r\n\r\n")
        assert sent[0].endswith(b"Transfer-Encoding: chunked\r\nConnection: close")
        joined = sent[2]
        assert b"Trailer" not in joined
        assert b"GET" not in joined
        assert joined.endswith(b"\r\n0\r\n\r\n")
    assert whole.value().partition(b"\r\n\r\n")[2] == (
        b"5\r\nhel\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"
    )


def test_byte_by_byte_is_the_same(bench: Bench) -> None:
    _, whole = bench.joined(GET)
    task = bench.connect()
    for at in range(len(GET)):
        task.protocol.dataReceived(GET[at : at + 1])
    outside = bench.answer()
    assert outside.value() == whole.value()
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 No\r\nX: a\r\n folded\r\n\r\nhi"
    for at in range(len(answer)):
        outside.protocol.dataReceived(answer[at : at + 1])
    assert said(task) == (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.0 404 No\r\nX: a folded\r\nConnection: close\r\n\r\nhi"
    )


@pytest.mark.parametrize(
    ("request_bytes", "status", "words"),
    [
        (b"GET http://127.0.0.1/ HTTP/1.1", 403,
         b"runyard: 127.0.0.1 is a loopback address; tasks reach public addresses only\n"),
        (b"CONNECT [::ffff:169.254.169.254]:80 HTTP/1.1", 403, b"a cloud metadata address"),
        (b"GET http://site.test:25/ HTTP/1.1", 403, b"port 25 is not open"),
        (b"GET http://none.test/ HTTP/1.1", 502, b"none.test has no address (Name or"),
        (b"GET / HTTP/1.1", 400, b"this is a proxy: '/' is no absolute URI"),
        (b"GET https://site.test/ HTTP/1.1", 400, b"goes through CONNECT"),
        (b"GET ftp://site.test/ HTTP/1.1", 400, b"the proxy takes http:// URIs"),
        (b"GET http://u:p@site.test/ HTTP/1.1", 400, b"a user in the URI"),
        (b"GET http://127.1/ HTTP/1.1", 400, b"'127.1' is no valid host name"),
        (b"GET http://2130706433/ HTTP/1.1", 400, b"no valid host name"),
        (b"GET http://[fe80::1%25eth0]/ HTTP/1.1", 400, b"has a zone"),
        (b"GET http:///x HTTP/1.1", 400, b"no valid host name"),
        (b"GET http://site.test:99999/ HTTP/1.1", 400, b"the port '99999' is not"),
        (b"GET http://site.test/#x HTTP/1.1", 400, b"no absolute URI"),
        (b"CONNECT site.test HTTP/1.1", 400, b"the port '' is not"),
        (b"CONNECT site.test:443/x HTTP/1.1", 400, b"the port '443/x' is not"),
        (b"GET http://site.test/ HTTP/2.0", 400, b"no request line"),
        (b"GET  http://site.test/ HTTP/1.1", 400, b"no request line"),
        (b"GET http://site.test/\xff HTTP/1.1", 400, b"no request line"),
        (b"\x16\x03\x01\x02\x00\x01", 400, b"no request line"),
        (LINE + b"Content-Length: 1\r\nTransfer-Encoding: chunked", 400,
         b"both Content-Length and Transfer-Encoding"),
        (LINE + b"Content-Length: 1\r\nContent-Length: 1", 400, b"one"),
        (LINE + b"Content-Length: +1", 400, b"Content-Length is not"),
        (LINE + b"Content-Length: 1, 1", 400, b"Content-Length is not"),
        (LINE + b"Transfer-Encoding: gzip, chunked", 400, b"only chunked"),
        (LINE + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
         400, b"only chunked"),
        (b"GET http://site.test/ HTTP/1.0\r\nTransfer-Encoding: chunked", 400, b"only chunked"),
        (LINE + b"A: b\r\n c", 400, b"folded"),
        (LINE + b" A: b", 400, b"folded"),
        (LINE + b"A : b", 400, b"no header field"),
        (LINE + b"A: b\0", 400, b"no header field"),
        (LINE + b"A: b\rc: d", 400, b"no header field"),
        (LINE + b": b", 400, b"no header field"),
        (b"GET http://site.test/ HTTP/1.1\nA: b", 400, b"bare line feed"),
        (b"GET http://site.test/ HTTP/1.1" + b"\r\nA: b" * 257, 400, b"more than 256"),
        (LINE + b"A: " + b"b" * MOST_HEAD, 431, b"longer than 65536"),
    ],
)  # fmt: skip
def test_what_is_refused_is_told(
    bench: Bench, request_bytes: bytes, status: int, words: bytes
) -> None:
    task = bench.connect()
    task.protocol.dataReceived(request_bytes + b"\r\n\r\n")
    head, _, body = said(task).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in head
    assert body.startswith(b"runyard: ")
    assert words in body
    assert bench.dialled == []
    assert task.wrote_end
    assert not task.gone  # a hard close could lose the answer
    task.protocol.dataReceived(b"x" * 100_000)
    task.protocol.readConnectionLost()
    assert task.gone


def test_a_head_is_bounded_as_it_comes(bench: Bench) -> None:
    task = bench.connect()
    sent = 0
    while not task.wrote_end:
        task.protocol.dataReceived(b"G" * 1000)
        sent += 1000
    assert sent <= MOST_HEAD + 1000
    assert said(task).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n", b"5\nhello\r\n", b"3\r\nhello\r\n0\r\n\r\n", b"-1\r\n", b"0x5\r\n", b" 5\r\n",
        b"\r\n",
        b"5" * 13 + b"\r\n", b"5;" + b"a" * MOST_LINE, b"0\r\nno trailer\r\n\r\n", b"5 \x00\r\n",
    ],
)  # fmt: skip
def test_a_bad_chunk_ends_it(bench: Bench, body: bytes) -> None:
    head = b"POST http://site.test/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    task, outside = bench.joined(head + body)
    assert said(task).startswith(b"HTTP/1.1 400 ")
    assert outside.aborted
    assert b"\r\n0\r\n" not in outside.value()


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2000 x\r\n\r\n", b"x" * 70_000]
)
def test_an_answer_that_is_no_http(bench: Bench, answer: bytes) -> None:
    task, outside = bench.joined(GET)
    outside.protocol.dataReceived(answer)
    assert said(task).startswith(b"HTTP/1.1 502 ")
    assert outside.aborted


def test_no_answer_at_all_is_told(bench: Bench) -> None:
    task, outside = bench.joined(GET)
    outside.protocol.readConnectionLost()
    assert said(task).endswith(b"runyard: the connection ended without an answer\n")
    task, outside = bench.joined(GET)
    outside.break_off()
    assert said(task).endswith(b"runyard: the connection broke before an answer\n")
    assert not task.aborted


def test_a_break_in_an_answer_is_passed_on_as_one(bench: Bench) -> None:
    task, outside = bench.joined(GET)
    outside.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\nhalf")
    outside.break_off()
    assert task.aborted
    task, outside = bench.joined(CONNECT)
    task.break_off()
    assert outside.aborted


def test_an_early_answer_survives_the_reset_behind_it(bench: Bench) -> None:
    post = b"POST http://site.test/ HTTP/1.1\r\nContent-Length: 1000\r\n\r\n"
    task, outside = bench.joined(post)
    outside.protocol.dataReceived(b"HTTP/1.1 413 Large\r\n\r\n")
    outside.protocol.readConnectionLost()
    outside.break_off()
    task.protocol.dataReceived(b"x" * 100)
    assert said(task).startswith(b"HTTP/1.1 413 ")
    assert task.wrote_end
    assert not task.aborted


def test_a_tunnel_ends_by_halves(bench: Bench) -> None:
    task, outside = bench.joined(CONNECT + b"early")
    assert said(task) == STANDS
    assert outside.value() == b"early"
    task.protocol.readConnectionLost()
    assert outside.wrote_end
    assert not outside.gone
    outside.protocol.dataReceived(b"late")
    outside.protocol.readConnectionLost()
    assert said(task) == STANDS + b"late"
    assert task.gone
    assert outside.gone
    assert not task.aborted
    assert not outside.aborted


def test_each_side_slows_the_other(bench: Bench) -> None:
    task, outside = bench.joined(CONNECT)
    assert task.producer is outside
    assert outside.producer is task
    task.producer.pauseProducing()
    assert outside.producerState == "paused"
    assert task.producerState == "producing"


def test_nothing_is_read_while_it_is_dialled(bench: Bench) -> None:
    task = bench.connect()
    task.protocol.dataReceived(CONNECT)
    assert task.producerState == "paused"
    bench.answer()
    assert task.producerState == "producing"


def test_time_is_bounded(bench: Bench) -> None:
    silent = bench.connect()
    bench.reactor.advance(HEAD_S)
    assert silent.aborted
    task, outside = bench.joined(CONNECT)
    for _ in range(3):
        bench.reactor.advance(IDLE_S - 1)
        outside.protocol.dataReceived(b"x")
    assert not task.gone
    bench.reactor.advance(IDLE_S)
    assert task.aborted
    assert outside.aborted
    lingering = bench.connect()
    lingering.protocol.dataReceived(b"x\r\n\r\n")
    bench.reactor.advance(LINGER_S)
    assert lingering.aborted


def test_bytes_are_counted(bench: Bench) -> None:
    _, outside = bench.joined(CONNECT + b"12345")
    outside.protocol.dataReceived(b"123")
    assert (bench.egress.counters.bytes_up, bench.egress.counters.bytes_down) == (5, 3)
    assert bench.egress.counters.connections == 1
