"""Output of watched attempts: put together, from any offset, never queued on a slow link."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import FakeJob
from twisted.internet.task import Clock

from runyard.protocols.limits import Limits
from runyard.protocols.messages import CHUNK_BYTES, Message, Output, Watch
from runyard.worker.sandbox.interface import Job
from runyard.worker.streaming import COALESCE_S, Streaming


class Link:
    """Takes so many messages, then is busy."""

    def __init__(self) -> None:
        self.room = 1000
        self.sent: list[Output] = []

    @property
    def busy(self) -> bool:
        return self.room == 0

    def send(self, message: Message) -> None:
        assert isinstance(message, Output)
        self.room -= 1
        self.sent.append(message)

    def text(self, stream: str = "stdout", start: int = 0) -> bytes:
        """Put a stream's pieces together; they must follow each other."""
        text = b""
        for piece in self.sent:
            if piece.stream == stream:
                assert piece.offset == start + len(text)
                text += piece.data
        return text


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.link = Link()
        self.job = FakeJob(a_job(), lambda: None)
        self.streaming = Streaming(self.clock, self.link)

    def watch(self, **offsets: int) -> None:
        self.streaming.watch(Watch(attempt="a", **offsets), self.job)


def a_job() -> Job:
    return Job("a", "python", b"", b"", (), (), Limits(), 10.0)


@pytest.fixture
def bench() -> Any:
    made = Bench()
    yield made
    made.streaming.stop()
    assert made.job.grown is None
    assert not made.clock.getDelayedCalls()


def test_small_writes_are_put_together_for_a_moment(bench: Bench) -> None:
    bench.watch()
    for _ in range(100):
        bench.job.write(b"twenty-eight bytes and no...")
        bench.clock.advance(COALESCE_S / 200)
    assert bench.link.sent == []
    bench.clock.advance(COALESCE_S / 2)
    assert [len(each.data) for each in bench.link.sent] == [2800]
    bench.job.write(b"more")
    bench.clock.advance(COALESCE_S)
    assert bench.link.sent[-1].offset == 2800


def test_a_full_piece_goes_out_at_once_and_leaves_no_timer(bench: Bench) -> None:
    bench.watch()
    bench.job.write(b"first")
    bench.job.write(b"x" * CHUNK_BYTES)
    assert [len(each.data) for each in bench.link.sent] == [CHUNK_BYTES, 5]
    assert not bench.clock.getDelayedCalls()
    assert bench.link.text() == b"first" + b"x" * CHUNK_BYTES


def test_a_late_watch_gets_all_that_was_kept(bench: Bench) -> None:
    bench.job.write(b"before")
    bench.job.write(b"errors", "stderr")
    bench.watch()
    assert bench.link.text() == b"before"
    assert bench.link.text("stderr") == b"errors"


def test_a_watch_goes_on_where_it_says(bench: Bench) -> None:
    bench.job.write(b"0123456789")
    bench.watch(stdout=4, stderr=3)
    assert bench.link.text(start=4) == b"456789"
    bench.job.write(b"errors", "stderr")
    bench.clock.advance(COALESCE_S)
    assert bench.link.text("stderr", start=3) == b"ors"


def test_what_nobody_watches_is_not_sent(bench: Bench) -> None:
    bench.watch()
    bench.job.write(b"a")
    bench.streaming.unwatch("a")
    bench.job.write(b"x" * CHUNK_BYTES)
    bench.clock.advance(1)
    assert bench.link.sent == []
    assert bench.job.grown is None


def test_a_slow_link_is_sent_no_more_than_it_takes(bench: Bench) -> None:
    bench.link.room = 2
    bench.watch()
    bench.job.write(b"y" * 10 * CHUNK_BYTES)
    assert len(bench.link.sent) == 2
    bench.job.write(b"z" * 10)
    assert not bench.clock.getDelayedCalls(), "nothing is tried while it is busy"
    bench.link.room = 3
    bench.streaming.resume()
    assert len(bench.link.sent) == 5
    bench.link.room = 100
    bench.streaming.resume()
    assert bench.link.text() == b"y" * 10 * CHUNK_BYTES + b"z" * 10


def test_a_timer_that_finds_the_link_busy_leaves_it_to_the_link(bench: Bench) -> None:
    bench.watch()
    bench.job.write(b"a")
    bench.link.room = 0
    bench.clock.advance(COALESCE_S)
    assert bench.link.sent == []
    bench.link.room = 1
    bench.streaming.resume()
    assert bench.link.text() == b"a"
