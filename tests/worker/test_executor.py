from __future__ import annotations

import signal
from typing import Any

import pytest
from fakes import FakeSandbox
from twisted.internet.task import Clock

from runyard.protocols.errors import ProtocolError, Refused
from runyard.protocols.limits import Limits, limits_document
from runyard.protocols.messages import Run
from runyard.protocols.tasks import Ended, Outcome, Reason
from runyard.worker.executor import Executor
from runyard.worker.loneliness import Loneliness
from runyard.worker.sandbox.interface import Job
from runyard.worker.translate import job_of


class Bench:
    """An executor over a fake sandbox; `ended` collects what it tells."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sandbox = FakeSandbox()
        self.executor = Executor(self.clock, self.sandbox, 2)
        self.ended: dict[str, Ended] = {}
        self.started: list[str] = []

    def execute(self, attempt: str, **more: Any) -> None:
        fields: dict[str, Any] = {
            "language": "python", "code": b"", "stdin": b"", "args": (), "env": (),
            "limits": Limits(wall_s=3), "lease": 10.0,
        }  # fmt: skip
        job = Job(attempt=attempt, **(fields | more))
        self.executor.execute(
            job,
            lambda: self.started.append(attempt),
            lambda ended: self.ended.__setitem__(attempt, ended),
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_wall_limit_counts_from_the_start_of_the_process(bench: Bench) -> None:
    bench.execute("a")
    (job,) = bench.sandbox.jobs
    bench.clock.advance(60)
    assert job.kills == 0, "it has not started"
    job.started()
    assert bench.started == ["a"]
    bench.clock.advance(2.9)
    assert (job.traces, job.kills) == (0, 0)
    bench.clock.advance(0.1)
    assert (job.traces, job.kills) == (1, 0), "it is asked where it is, and not before its time"
    bench.clock.advance(0.1)
    assert job.kills == 1
    job.end(int(signal.SIGKILL), wall_s=3.1)
    assert bench.ended["a"].reason is Reason.TIMEOUT
    assert not bench.clock.getDelayedCalls()


def test_slots_are_counted_and_given_back(bench: Bench) -> None:
    bench.execute("a")
    bench.execute("b")
    for name, words in (("c", "slots are in use"), ("a", "slots are in use")):
        with pytest.raises(Refused, match=words):
            bench.execute(name)
    bench.sandbox.jobs[0].end()
    bench.execute("c")
    assert bench.executor.in_use == 2


def test_what_cannot_run_is_refused_before_anything_starts(bench: Bench) -> None:
    bench.execute("a")
    with pytest.raises(Refused, match="runs here already"):
        bench.execute("a")
    with pytest.raises(Refused, match="no runtime 'ruby'"):
        bench.execute("b", language="ruby")
    bench.sandbox.full = True
    with pytest.raises(Refused, match="no slot is ready"):
        bench.execute("b")
    bench.sandbox.full = False
    bench.executor.draining = True
    with pytest.raises(Refused, match="draining"):
        bench.execute("b")
    assert len(bench.sandbox.jobs) == 1


def test_a_cancel_kills_once_and_the_first_reason_stays(bench: Bench) -> None:
    bench.execute("a")
    (job,) = bench.sandbox.jobs
    job.started()
    assert bench.executor.stop("a", Reason.ASKED)
    bench.clock.advance(10)
    assert bench.executor.stop("a", Reason.HUNG_UP)
    assert job.kills == 1
    job.end(int(signal.SIGKILL))
    assert bench.ended["a"].reason is Reason.ASKED
    assert not bench.executor.stop("a", Reason.ASKED)


def test_a_sandbox_that_fails_is_our_fault_unless_the_job_was_stopped(bench: Bench) -> None:
    bench.execute("a")
    bench.execute("b")
    bench.executor.stop("b", Reason.ASKED)
    for job in bench.sandbox.jobs:
        job.fail("the helper died")
    assert bench.ended["a"].outcome is Outcome.INTERNAL_FAIL
    assert "helper died" in bench.ended["a"].detail
    assert bench.ended["b"].outcome is Outcome.CANCELLED
    assert bench.executor.in_use == 0


def test_idle_is_told_when_the_last_slot_is_free(bench: Bench) -> None:
    told: list[int] = []
    bench.executor.when_idle().addCallback(lambda _: told.append(0))
    bench.execute("a")
    bench.execute("b")
    bench.executor.when_idle().addCallback(lambda _: told.append(1))
    bench.sandbox.jobs[0].end()
    assert told == [0]
    bench.executor.stop_all(Reason.RESTART)
    bench.sandbox.jobs[1].end(int(signal.SIGKILL))
    assert told == [0, 1]


def a_run(**more: Any) -> Run:
    fields: dict[str, Any] = {"attempt": "a", "language": "python", "limits": {}, "lease": 10}
    return Run(**(fields | more))


@pytest.mark.parametrize(
    "wrong",
    [
        {"limits": limits_document(Limits()) | {"wall_s": 0}},
        {"limits": {"wall_s": 1e9}},
        {"limits": {"unknown": 1}},
        {"limits": {"processes": "many"}},
        {"env": b"NOVALUE\0"},
        {"env": b"=x\0"},
        {"args": b"no end"},
        {"args": b"\xff\0"},
    ],
)
def test_a_controller_s_odd_words_are_not_run(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        job_of(a_run(**wrong), 10.0)


def test_a_worker_left_alone_leaves_and_one_with_company_stays() -> None:
    clock = Clock()
    left: list[int] = []
    lonely = Loneliness(clock, 60, lambda: left.append(1))
    lonely.links_changed(0)
    clock.advance(59)
    lonely.links_changed(1)
    clock.advance(1000)
    assert left == []
    lonely.links_changed(0)
    clock.advance(60)
    assert left == [1]
    lonely.stop()
    assert not clock.getDelayedCalls()
