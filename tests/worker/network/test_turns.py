"""Nothing that a task or its target sends holds the reactor for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from egress import Bench

from runyard.worker.network.framing import LEAST_READ, MOST_HEAD, MOST_READ, Malformed
from runyard.worker.network.heads import read_request, rewrite_answer
from runyard.worker.network.http import MOST_INTERIM

REQUEST = b"GET http://site.test/ HTTP/1.1\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\n"
MOST_MS = 5.0
"""Of one read's work, in processor time. What is left out here takes from 15 ms to seconds."""


def took_ms(work: Callable[[], object]) -> float:
    """Give the processor time of a piece of work, which may be refused: the best of three."""
    times = []
    for _ in range(3):
        begun = time.thread_time()
        with suppress(Malformed):
            work()
        times.append(time.thread_time() - begun)
        if times[-1] > 0.1:
            break
    return min(times) * 1000


def filled(start: bytes, piece: bytes, end: bytes = b"") -> bytes:
    """Make a head as long as one may be."""
    return start + piece * ((MOST_HEAD - len(start) - len(end)) // len(piece)) + end


HEADS = {
    "blanks before a value": filled(REQUEST + b"A:", b" ", b"\0"),
    "tabs before a value": filled(REQUEST + b"A:", b"\t", b"\x7f"),
    "blanks behind a value": filled(REQUEST + b"A: b", b" ", b"\0"),
    "a field's name": filled(REQUEST, b"a", b"\0"),
    "a field's value": filled(REQUEST + b"A: ", b"b", b"\0"),
    "an authority": filled(b"GET http://", b"a", b"# HTTP/1.1"),
    "a path": filled(b"GET http://site.test/", b"a", b"# HTTP/1.1"),
    "a scheme": filled(b"GET ", b"a", b" HTTP/1.1"),
    "labels": filled(b"GET http://", b"a.", b"/ HTTP/1.1"),
    "colons": filled(b"GET http://[", b":", b"]/ HTTP/1.1"),
    "a port": filled(b"GET http://site.test:", b"1", b"/ HTTP/1.1"),
    "a method": filled(b"", b"G", b" / HTTP/1.1"),
    "a length": filled(REQUEST + b"Content-Length: ", b"1"),
    "names of the hop": filled(REQUEST + b"Connection: ", b","),
    "many fields": filled(REQUEST[:-2], b"\r\na:"),
    "folded": filled(ANSWER + b"A: b", b"\r\n "),
    "folded words": filled(ANSWER + b"A: b", b"\r\n a"),
    "a reason": filled(b"HTTP/1.1 200 ", b" ", b"\0"),
    "names of the answer's hop": filled(ANSWER + b"Connection: ", b",a"),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_head_is_read_in_a_time_that_grows_with_its_length(head: bytes) -> None:
    assert len(head) > MOST_HEAD - 8
    reads = rewrite_answer if head.startswith(b"HTTP/") else read_request
    assert took_ms(lambda: reads(head)) < MOST_MS


CHUNKED = b"POST http://site.test/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = {
    "the smallest chunks": b"1\r\nx\r\n" * 11_000,
    "chunks with extensions": b"1;a\r\nx\r\n" * 8_000,
    "a large chunk, then the smallest": b"8000\r\n"
    + bytes(0x8000)
    + b"\r\n"
    + b"1\r\nx\r\n" * 5000,
    "trailers": b"0\r\n" + b"a:\r\n" * 16_000 + b"\r\n",
    "one large chunk": b"10000\r\n" + bytes(0x10000) + b"\r\n0\r\n\r\n",
}


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def pieces(transport: Any, data: bytes) -> Iterator[Callable[[], None]]:
    """Hand data in as the transport would, as much at a time as it is set to read."""
    at = 0
    while at < len(data):
        size = transport.bufferSize
        yield partial(transport.protocol.dataReceived, data[at : at + size])
        at += size


def worst_ms(transport: Any, data: bytes) -> float:
    """Give the longest processor time of one read."""
    times = []
    for piece in pieces(transport, data):
        begun = time.thread_time()
        piece()
        times.append(time.thread_time() - begun)
    return max(times) * 1000


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_read_of_a_chunked_body_takes_long(bench: Bench, body: bytes) -> None:
    assert min(worst_ms(bench.joined(CHUNKED)[0], body) for _ in range(3)) < MOST_MS


def test_what_follows_a_question_is_read_in_small_parts_too(bench: Bench) -> None:
    task = bench.connect()
    assert task.bufferSize == LEAST_READ


def test_what_costs_little_is_read_in_large_parts(bench: Bench) -> None:
    tunnel = b"CONNECT site.test:443 HTTP/1.1\r\n\r\n"
    sized = b"POST http://site.test/ HTTP/1.1\r\nContent-Length: 99999\r\n\r\n"
    for asked in (tunnel, sized, CHUNKED + b"fffff\r\n"):
        task, outside = bench.joined(asked)
        assert task.bufferSize == outside.bufferSize == MOST_READ
    task.protocol.dataReceived(bytes(0xFFFFF - 5000))
    assert task.bufferSize == 5002  # the rest of the chunk, and no line but its end
    task.protocol.dataReceived(bytes(5000))
    assert task.bufferSize == LEAST_READ


def test_few_answers_come_before_the_one_that_counts(bench: Bench) -> None:
    early = b"HTTP/1.1 103 A\r\n\r\n"
    get = b"GET http://site.test/ HTTP/1.1\r\n\r\n"
    task, outside = bench.joined(get)
    outside.protocol.dataReceived(early * MOST_INTERIM + b"HTTP/1.1 200 OK\r\n\r\nbody")
    assert task.value().count(b" 103 ") == MOST_INTERIM
    assert task.value().endswith(b"body")
    task, outside = bench.joined(get)
    assert worst_ms(outside, early * 3600) < MOST_MS
    assert b"runyard: more than 8 answers of 1xx came" in task.value()
    assert outside.aborted
