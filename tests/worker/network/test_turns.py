"""Nothing that a task or its target sends holds the reactor for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from runyard.worker.network.framing import MOST_HEAD, Malformed
from runyard.worker.network.heads import read_request, rewrite_answer

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
