"""Workers that refuse what they are sent, for a long time or while they are on trial."""

from __future__ import annotations

from controller import Controller
from fakes import FakeRunner

from runyard.protocols.errors import Refused
from runyard.sched.roster import REST_MOST_S


def refuse(runner: FakeRunner) -> int:
    """Refuse all that was sent; tell how much that was."""
    sent = list(runner.runs)
    for attempt in sent:
        runner.fail(attempt, Refused("all slots are in use"))
    return len(sent)


def test_a_worker_on_trial_that_refuses_is_left_alone_for_a_while() -> None:
    c = Controller()
    runner = c.worker()
    worker = c.roster.workers["w1"]
    worker.health.times = 1
    assert worker.health.on_trial
    c.submit()
    assert refuse(runner) == 1
    assert not runner.runs, "it rests"
    c.clock.advance(0.2)
    assert len(runner.runs) == 1


def test_one_that_refuses_for_hours_is_asked_on() -> None:
    c = Controller()
    runner = c.worker()
    c.roster.workers["w1"].refusals = 5000
    c.submit()
    assert refuse(runner) == 1
    c.clock.advance(REST_MOST_S)
    assert len(runner.runs) == 1
