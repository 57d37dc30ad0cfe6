"""Workers that fail what they get: quarantined, tried, trusted again."""

from __future__ import annotations

import pytest
from controller import Controller
from fakes import SUCCESS, FakeRunner

from runyard.protocols.tasks import Ended, Outcome, Reason, State
from runyard.sched.health import QUARANTINE_MOST_S, QUARANTINE_S, Health

BROKEN = Ended(Outcome.INTERNAL_FAIL, Reason.SANDBOX, "no disk")


def test_failures_in_a_row_of_several_tasks_begin_a_quarantine_with_doubling_times() -> None:
    health = Health()
    assert [health.failed(f"t{n}", "why", float(n)) for n in range(3)] == [None, None, QUARANTINE_S]
    pauses, now = [], 10.0
    for _ in range(12):
        health.until = None
        assert health.on_trial
        now += 1000
        pauses.append(health.failed("t", "why", now))
    assert pauses[:3] == [2 * QUARANTINE_S, 4 * QUARANTINE_S, 8 * QUARANTINE_S]
    assert pauses[-1] == QUARANTINE_MOST_S
    health.until = None
    health.worked()
    assert not health.on_trial
    assert health.failed("t", "why", now + 1) is None, "it starts from none again"


def test_one_task_alone_never_quarantines_a_worker() -> None:
    health = Health()
    assert [health.failed("poison", "why", float(n)) for n in range(10)] == [None] * 10


def test_what_fails_at_one_moment_is_one_failure() -> None:
    health = Health()
    for now in (1.0, 2.0):
        times = [now + n * 1e-4 for n in range(8)]
        assert [health.failed(f"t{at}", "why", at) for at in times] == [None] * 8
    assert health.in_row == 2


def test_a_success_between_is_what_a_black_hole_never_has() -> None:
    health = Health()
    for number in range(20):
        assert health.failed(f"t{number}", "why", float(number)) is None
        if number % 2:
            health.worked(0.01)


@pytest.fixture
def c() -> Controller:
    return Controller()


def fail_all(runner: FakeRunner) -> None:
    for attempt in list(runner.runs):
        runner.end(attempt, BROKEN)


def test_a_black_hole_gets_nothing_and_the_good_worker_gets_all(c: Controller) -> None:
    hole = c.worker("hole", slots=2)
    tickets = [c.submit(attempts=10) for _ in range(6)]
    for _ in range(3):
        fail_all(hole)
        c.clock.advance(0.4)
    (worker,) = c.roster
    assert (worker.state, worker.room) == ("quarantined", 0)
    assert worker.health.reason == "sandbox"
    good = c.worker("good", slots=2)
    for _ in range(50):
        c.clock.advance(0.2)
        for attempt in list(good.runs):
            good.end(attempt)
    assert [t.ended for t in tickets] == [SUCCESS] * 6
    assert not hole.runs


def test_after_its_time_it_is_tried_with_one_task_and_trusted_after_a_success(
    c: Controller,
) -> None:
    hole = c.worker("hole", slots=2)
    for _ in range(6):
        c.submit(attempts=10)
    for _ in range(3):
        fail_all(hole)
        c.clock.advance(0.4)
    c.clock.advance(QUARANTINE_S)
    assert len(hole.runs) == 1, "one at a time"
    fail_all(hole)
    c.clock.advance(QUARANTINE_S)
    assert not hole.runs, "twice as long"
    c.clock.advance(QUARANTINE_S)
    assert len(hole.runs) == 1
    hole.end(next(iter(hole.runs)))
    assert len(hole.runs) == 2, "all its slots"


def test_a_new_process_of_a_quarantined_worker_is_quarantined_too(c: Controller) -> None:
    hole = c.worker("hole", slots=2)
    for _ in range(4):
        c.submit(attempts=10)
    for _ in range(3):
        fail_all(hole)
        c.clock.advance(0.4)
    c.roster.down(next(iter(c.roster)))
    again = c.worker("hole", slots=2)
    assert not again.runs


def test_a_task_that_finds_only_a_black_hole_is_told_so(c: Controller) -> None:
    hole = c.worker("hole", slots=2)
    tickets = [c.submit(attempts=10) for _ in range(4)]
    for _ in range(2000):
        fail_all(hole)
        c.clock.advance(1.0)
    assert {t.state for t in tickets} == {State.FINISH}
    details = {t.ended.detail for t in tickets if t.ended and t.ended.reason is Reason.NO_WORKER}
    assert all("quarantined: hole: sandbox" in text for text in details)
    ended = {t.ended.reason for t in tickets if t.ended}
    assert ended <= {Reason.SANDBOX, Reason.NO_WORKER}
