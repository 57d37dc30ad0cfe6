"""SOCKS5 and SOCKS4a, whole and byte by byte; whatever else comes ends within bounds."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from egress import PRIVATE, PUBLIC, Bench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runyard.worker.network.framing import Chunked, Malformed

V4 = bytes([93, 184, 216, 34])
V6 = "2606:4700::1111"
PORT = b"\1\xbb"
GREETING = b"\5\1\0"
GRANTED = b"\5\0" + b"\5\0\0\1" + bytes(6)
NAMED = b"\3\x09site.test"


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("address", "dialled"),
    [(b"\1" + V4, PUBLIC), (b"\4" + ip_address(V6).packed, V6), (NAMED, PUBLIC)],
)
def test_socks5_byte_by_byte_and_at_once(bench: Bench, address: bytes, dialled: str) -> None:
    asked = GREETING + b"\5\1\0" + address + PORT
    task = bench.connect()
    for at in range(len(asked)):
        task.protocol.dataReceived(asked[at : at + 1])
        assert task.value() == (b"\5\0" if at >= 2 else b"")
    bench.answer()
    assert task.value() == GRANTED
    task, outside = bench.joined(asked + b"hello")
    assert task.value() == GRANTED
    assert outside.value() == b"hello"
    assert bench.dialled == [(dialled, 443)] * 2
    outside.protocol.dataReceived(b"\0\1")
    assert task.value() == GRANTED + b"\0\1"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (b"\5\1\2", b"\5\xff"),
        (b"\5\0", b"\5\xff"),
        (GREETING + b"\4\1\0\1" + V4 + PORT, b"\5\0\5\1"),
        (GREETING + b"\5\2\0\1" + V4 + PORT, b"\5\0\5\7"),
        (GREETING + b"\5\3\0\1" + V4 + PORT, b"\5\0\5\7"),
        (GREETING + b"\5\1\0\2" + V4 + PORT, b"\5\0\5\x08"),
        (GREETING + b"\5\1\0\1" + V4 + b"\0\0", b"\5\0\5\2"),
        (GREETING + b"\5\1\0\1" + V4 + b"\0\x19", b"\5\0\5\2"),
        (GREETING + b"\5\1\0\1\x7f\0\0\1" + PORT, b"\5\0\5\2"),
        (GREETING + b"\5\1\0\4" + bytes(15) + b"\1" + PORT, b"\5\0\5\2"),
        (GREETING + b"\5\1\0\3\0" + PORT, b"\5\0\5\2"),
        (GREETING + b"\5\1\0\3\x05127.1" + PORT, b"\5\0\5\2"),
        (GREETING + b"\5\1\0\3\x09none.test" + PORT, b"\5\0\5\4"),
        (b"\4\1" + PORT + b"\x7f\0\0\1\0", b"\0\x5b"),
        (b"\4\1" + PORT + b"\0\0\0\0\0", b"\0\x5b"),
        (b"\4\2" + PORT + V4 + b"\0", b"\0\x5b"),
        (b"\4\1\0\0" + V4 + b"\0", b"\0\x5b"),
        (b"\4\1" + PORT + b"\0\0\0\1\x000x7f.1\0", b"\0\x5b"),
        (b"\4\1" + PORT + V4 + b"a" * 600, b"\0\x5b"),
    ],
)  # fmt: skip
def test_what_is_not_granted(bench: Bench, asked: bytes, answer: bytes) -> None:
    task = bench.connect()
    task.protocol.dataReceived(asked)
    assert task.value().startswith(answer)
    assert task.wrote_end
    assert bench.dialled == []


@pytest.mark.parametrize("address", [V4 + b"user\0", b"\0\0\0\1user\0site.test\0"])
def test_socks4(bench: Bench, address: bytes) -> None:
    asked = b"\4\1" + PORT + address
    task = bench.connect()
    for at in range(len(asked)):
        assert bench.dialled == []
        task.protocol.dataReceived(asked[at : at + 1])
    bench.answer()
    task, outside = bench.joined(asked + b"he\0llo")
    assert task.value() == b"\0\x5a" + bytes(6)
    assert outside.value() == b"he\0llo"
    assert bench.dialled == [(PUBLIC, 443)] * 2


SEEDS = st.sampled_from([
    b"GET http://site.test/ HTTP/1.1\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n",
    b"0\r\n\r\n", b"CONNECT site.test:1 HTTP/1.1\r\n\r\n", b"Content-Length: 5\r\n", b"\r\n\r\n",
    b"CONNECT " + PRIVATE.encode() + b":1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
    GREETING, b"\5\1\0\1\x7f\0\0\1\0\1", b"\5\1\0" + NAMED + PORT, b"\4\1\0\1\0\0\0\1\0x\0",
])  # fmt: skip
PIECES = st.lists(st.tuples(st.sampled_from("tob"), SEEDS | st.binary(max_size=20)), max_size=12)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(PIECES)
def test_whatever_comes_nothing_private_is_dialled_and_nothing_is_left(
    pieces: list[tuple[str, bytes]],
) -> None:
    bench = Bench()
    task, outside, ended = bench.connect(), None, False
    for who, data in pieces:
        if who == "b" and not task.gone and not ended:
            ended = True  # nothing follows an end
            task.protocol.readConnectionLost()
        elif who == "t" and data and not task.gone and not ended:
            task.protocol.dataReceived(data)
        elif who == "o" and bench.dialled and data:
            outside = outside or (None if task.gone else bench.answer())
            if outside is not None and not outside.gone:
                outside.protocol.dataReceived(data)
    assert all(host == PUBLIC for host, _ in bench.dialled)
    assert len(bench.dialled) <= 1
    bench.close()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(1, 40), max_size=20), st.booleans())
def test_chunks_in_any_pieces(body: bytes, cuts: list[int], damaged: bool) -> None:
    coded = b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (body[at : at + 7] for at in range(0, len(body), 7))
    )
    coded += b"0\r\n\r\n"
    raw = coded.replace(b"\r\n", b"\n", 1) if damaged else coded
    reader, passed, at = Chunked(), b"", 0
    try:
        for size in [*cuts, len(raw) + 1]:
            passed += reader.feed(raw[at : at + size])
            at += size
    except Malformed:
        assert damaged
        return
    assert not damaged
    assert passed == coded
