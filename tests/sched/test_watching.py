"""Output as it comes, from the job to the listener: whole, in order, nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import FakeJob
from pair import Pair
from twisted.logger import capturedLogs

from runyard.protocols.limits import MIB
from runyard.protocols.messages import Output, Watch
from runyard.protocols.tasks import Outcome
from runyard.worker.kept import KEEP_S
from runyard.worker.streaming import COALESCE_S

MOMENT_S = COALESCE_S * 2


@pytest.fixture
def pair() -> Any:
    made = Pair()
    yield made
    made.client.close()
    made.pump.flush()
    for job in made.sandbox.jobs:
        if not job.done.called:
            job.end(9)
    made.clock.advance(KEEP_S)
    assert not made.clock.getDelayedCalls(), "nothing stays timed after the link"


class Listener:
    """Puts together what it is told; fails where pieces do not follow each other."""

    def __init__(self) -> None:
        self.text = {"stdout": b"", "stderr": b""}
        self.pieces = 0

    def __call__(self, stream: str, offset: int, data: bytes) -> None:
        assert offset == len(self.text[stream])
        self.text[stream] += data
        self.pieces += 1

    @property
    def out(self) -> bytes:
        return self.text["stdout"]


def running(pair: Pair) -> tuple[FakeJob, list[Any]]:
    results = pair.run()
    (job,) = pair.sandbox.jobs
    job.started()
    pair.pump.flush()
    return job, results


def watch(pair: Pair) -> Listener:
    listener = Listener()
    assert session(pair).watch("t.1", listener)
    pair.pump.flush()
    return listener


def session(pair: Pair) -> Any:
    return pair.client.session


def later(pair: Pair) -> None:
    pair.clock.advance(MOMENT_S)
    pair.pump.flush()


def test_a_watched_attempt_tells_as_it_goes_and_an_unwatched_one_nothing(pair: Pair) -> None:
    job, _ = running(pair)
    job.write(b"one ")
    assert job.grown is None
    listener = watch(pair)
    assert listener.out == b"one "
    job.write(b"two")
    job.write(b"!", "stderr")
    later(pair)
    assert listener.text == {"stdout": b"one two", "stderr": b"!"}
    session(pair).unwatch("t.1")
    pair.pump.flush()
    assert job.grown is None
    assert not session(pair).watch("unknown.1", listener)


def test_a_watch_before_the_start_begins_with_it(pair: Pair) -> None:
    pair.run()
    listener = watch(pair)
    (job,) = pair.sandbox.jobs
    assert job.grown is None
    job.write(b"early")
    job.started()
    pair.pump.flush()
    assert listener.out == b"early"


def test_the_result_brings_the_rest_and_no_output_follows_it(pair: Pair) -> None:
    job, results = running(pair)
    listener = watch(pair)
    job.write(b"a" * 70_000)
    pair.pump.flush()
    assert listener.pieces == 2
    job.write(b"last words")
    job.end()
    later(pair)
    assert listener.out == b"a" * 70_000 + b"last words" == results[-1].stdout
    assert job.grown is None
    assert list(pair.roster)


def test_after_a_cut_it_goes_on_where_it_was(pair: Pair) -> None:
    job, results = running(pair)
    listener = watch(pair)
    job.write(b"before ")
    later(pair)
    pair.cut()
    assert job.grown is None, "nobody can be told"
    job.write(b"meanwhile ")
    pair.connect()
    assert listener.out == b"before meanwhile "
    job.write(b"after")
    later(pair)
    job.end()
    pair.pump.flush()
    assert listener.out == b"before meanwhile after" == results[-1].stdout


def test_a_slow_link_holds_nothing_back_but_time(pair: Pair) -> None:
    job, _ = running(pair)
    listener = watch(pair)
    box: Any = pair.server._outbox
    box.pauseProducing()
    job.write(b"x" * MIB)
    later(pair)
    assert listener.out == b""
    assert box.held == 0
    box.resumeProducing()
    pair.pump.flush()
    assert listener.out == b"x" * MIB


def output(offset: int, data: bytes, attempt: str = "t.1") -> Output:
    return Output(attempt=attempt, stream="stdout", offset=offset, data=data)


def test_what_came_already_is_not_told_again(pair: Pair) -> None:
    running(pair)
    listener = watch(pair)
    for offset, data in ((0, b"abc"), (0, b"abc"), (1, b"bcde"), (2, b"c"), (5, b"")):
        pair.server.send(output(offset, data))
    pair.pump.flush()
    assert listener.out == b"abcde"


def test_a_gap_at_the_start_closes_the_link_too(pair: Pair) -> None:
    running(pair)
    listener = watch(pair)
    pair.server.send(output(1, b"bc"))
    pair.pump.flush()
    assert pair.client.closing
    assert listener.out == b""


def test_a_gap_closes_the_link(pair: Pair) -> None:
    running(pair)
    listener = watch(pair)
    pair.server.send(output(0, b"abc"))
    pair.server.send(output(4, b"e"))
    pair.pump.flush()
    assert pair.client.closing
    assert listener.out == b"abc"


def test_pieces_for_an_earlier_listener_that_are_under_way_disturb_no_later_one(pair: Pair) -> None:
    job, results = running(pair)
    first = watch(pair)
    job.write(b"0" * 70_000)
    pair.pump.flush()
    session(pair).unwatch("t.1")
    second = Listener()
    session(pair).watch("t.1", second)
    job.write(b"1" * 70_000)  # the worker has not read the Unwatch yet
    pair.pump.flush()
    assert len(first.out) == 70_000
    job.write(b"2")
    later(pair)
    job.end()
    pair.pump.flush()
    assert second.out == results[-1].stdout
    assert results[-1].outcome is Outcome.SUCCESS


def test_output_of_what_does_not_run_is_left_out_with_one_line_a_link(pair: Pair) -> None:
    running(pair)
    with capturedLogs() as logs:
        for _ in range(3):
            pair.server.send(output(0, b"?", "t.9"))
        pair.server.send(output(5, b"crossed with an Unwatch"))
        pair.pump.flush()
    assert len([e for e in logs if "does not run" in e["log_format"]]) == 1
    assert list(pair.roster)


def test_one_controller_does_not_see_what_another_runs(pair: Pair) -> None:
    job, _ = running(pair)
    other: Any = pair.factory.session("another")
    job.write(b"secret")
    other.linked(pair.server)
    other.watch(Watch(attempt="t.1"))
    assert job.grown is None
    other.unlinked(pair.server, 0.0)
