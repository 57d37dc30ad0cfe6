"""Whatever happens to link and listeners, a listener is told the output from its start, once."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pair import Pair

from runyard.protocols.messages import CHUNK_BYTES, STREAMS
from runyard.worker.kept import KEEP_S

STEPS = st.lists(
    st.sampled_from([
        "write", "write", "write much", "errors", "watch", "unwatch", "cut", "link", "slow", "fast",
        "deliver", "deliver", "wait", "wait",
    ]),
    max_size=40,
)  # fmt: skip


class Story:
    """One watched attempt and what befalls it."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.session: Any = self.pair.client.session
        self.results = self.pair.run()
        (self.job,) = self.pair.sandbox.jobs
        self.job.started()
        self.pair.pump.flush()
        self.texts: list[dict[str, bytes]] = []
        self.count = 0

    def step(self, name: str) -> None:
        getattr(self, name.replace(" ", "_"))()
        for told in self.texts:
            for stream, text in told.items():
                assert self.job.kept[stream].startswith(text)

    def write(self, size: int = 30, stream: str = "stdout") -> None:
        self.count += 1
        self.job.write((b"%d," % self.count) * size, stream)

    def write_much(self) -> None:
        self.write(CHUNK_BYTES)

    def errors(self) -> None:
        self.write(stream="stderr")

    def watch(self) -> None:
        told = dict.fromkeys(STREAMS, b"")
        self.texts.append(told)

        def listener(stream: str, offset: int, data: bytes) -> None:
            assert offset == len(told[stream])
            told[stream] += data

        assert self.session.watch("t.1", listener)

    def unwatch(self) -> None:
        self.session.unwatch("t.1")

    def cut(self) -> None:
        if self.session.connection is not None:
            self.pair.cut()

    def link(self) -> None:
        if self.session.connection is None:
            self.pair.connect()

    def slow(self) -> None:
        box: Any = self.pair.server._outbox
        box.pauseProducing()

    def fast(self) -> None:
        box: Any = self.pair.server._outbox
        box.resumeProducing()

    def deliver(self) -> None:
        self.pair.pump.pump()

    def wait(self) -> None:
        self.pair.clock.advance(0.03)

    def end(self) -> None:
        """All is well again; the last listener hears everything, and all of it comes once."""
        self.link()
        self.fast()
        self.watch()
        self.pair.pump.flush()
        self.job.end()
        self.pair.pump.flush()
        self.pair.client.close()
        self.pair.pump.flush()
        self.pair.clock.advance(KEEP_S)
        assert self.results[-1].stdout == self.job.kept["stdout"]
        assert self.texts[-1] == self.job.kept
        assert self.job.grown is None
        assert not self.pair.clock.getDelayedCalls()


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_listener_is_told_from_the_start_without_gap_or_repetition(steps: list[str]) -> None:
    story = Story()
    for name in steps:
        story.step(name)
    story.end()


def test_the_story_reaches_what_it_is_about() -> None:
    story = Story()
    for name in ("write much", "watch", "deliver", "deliver", "cut", "write", "link"):
        story.step(name)
    assert story.texts[0]["stdout"] == story.job.kept["stdout"] != b"", "it went on after the cut"
    story.end()
