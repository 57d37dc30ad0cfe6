"""How attempts end that did not simply succeed."""

from __future__ import annotations

from typing import Any

import pytest
from controller import TIMING, Controller, only
from fakes import SUCCESS

from runyard.protocols.errors import LinkLost, Refused
from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Ended, Outcome, Reason, State


@pytest.fixture
def c() -> Controller:
    return Controller()


def test_a_cancel_that_overtook_its_run_is_confirmed(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit()
    c.dispatcher.stop(ticket, Reason.ASKED)
    runner.fail(only(runner), Refused("it was cancelled before it arrived"))
    assert ticket.ended is not None
    assert (ticket.ended.outcome, ticket.ended.confirmed) == (Outcome.CANCELLED, True)


def test_one_that_is_not_told_to_have_started_is_lost_not_timed_out(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit(limits=Limits(wall_s=0.5))
    first = only(runner)
    c.clock.advance(TIMING.launch)
    assert runner.cancels == [(first, Reason.HUNG_UP)]
    c.clock.advance(TIMING.confirm)
    assert ticket.state is State.PENDING
    assert ticket.attempts[0].failure is Outcome.NETWORK_FAIL
    other = c.worker("w2")
    c.clock.advance(1)
    other.end(only(other))
    assert ticket.ended is SUCCESS


STOPPED = Ended(Outcome.CANCELLED, Reason.RESTART)


def test_what_a_worker_s_own_stop_ended_runs_again_and_does_not_count(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit(attempts=2)
    for _ in range(4):
        runner.end(only(runner), STOPPED)
        c.clock.advance(5)
    runner.end(only(runner))
    assert ticket.ended is SUCCESS
    assert len(ticket.attempts) == 5


def test_what_may_run_once_and_was_stopped_has_run(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit(attempts=1)
    runner.end(only(runner), STOPPED)
    assert ticket.ended is not None
    assert ticket.ended.outcome is Outcome.NETWORK_FAIL


def test_a_pending_task_is_cancelled_at_once_and_never_starts(c: Controller) -> None:
    ticket = c.submit()
    c.dispatcher.stop(ticket, Reason.ASKED)
    assert ticket.ended is not None
    assert (ticket.ended.outcome, ticket.ended.reason) == (Outcome.CANCELLED, Reason.ASKED)
    runner = c.worker()
    assert not runner.runs
    assert c.quiet()


def test_one_that_waits_for_its_retry_is_cancelled_too(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit()
    runner.fail(only(runner), LinkLost("cut"))
    c.dispatcher.stop(ticket, Reason.ASKED)
    assert ticket.state is State.FINISH
    assert c.quiet()


def test_a_running_task_is_cancelled_when_its_worker_says_so(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit()
    attempt = only(runner)
    c.dispatcher.stop(ticket, Reason.ASKED)
    c.dispatcher.stop(ticket, Reason.HUNG_UP)
    assert runner.cancels == [(attempt, Reason.ASKED)], "the first reason counts"
    assert ticket.state is State.RUNNING
    runner.end(attempt, Ended(Outcome.CANCELLED, Reason.ASKED, stdout=b"so far"))
    assert ticket.ended is not None
    assert ticket.ended.stdout == b"so far"
    assert c.quiet()


def test_a_result_that_was_faster_than_the_cancel_stands(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit()
    c.dispatcher.stop(ticket, Reason.ASKED)
    runner.end(only(runner))
    assert ticket.ended is SUCCESS


def test_our_timer_stands_behind_the_worker_s(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit(limits=Limits(wall_s=10))
    attempt = only(runner)
    c.clock.advance(3)
    runner.starts[attempt]()
    c.clock.advance(11.9)
    assert not runner.cancels, "the worker has its grace"
    c.clock.advance(0.2)
    assert runner.cancels == [(attempt, Reason.TIMEOUT)]
    assert ticket.state is State.RUNNING


def test_an_unconfirmed_end_quarantines_the_slot_and_timeout_stays_timeout(c: Controller) -> None:
    runner = c.worker(slots=2)
    ticket, neighbour = c.submit(limits=Limits(wall_s=1)), c.submit()
    attempt, other = runner.runs
    for each in (attempt, other):
        runner.starts[each]()
    c.clock.advance(3.1)
    c.clock.advance(5.1)
    assert ticket.ended is not None
    assert (ticket.ended.outcome, ticket.ended.reason) == (Outcome.RUNTIME_ERROR, Reason.TIMEOUT)
    assert not ticket.ended.confirmed
    assert neighbour.state is State.RUNNING
    (worker,) = c.roster
    assert (worker.quarantined, worker.free) == ({attempt}, 0)
    runner.end(other)
    waiting, more = c.submit(), c.submit()
    assert (waiting.state, more.state) == (State.RUNNING, State.PENDING), "one slot is left"
    runner.end(attempt)
    assert (worker.quarantined, more.state) == (set(), State.RUNNING), "it is free at last"
    assert ticket.ended.reason is Reason.TIMEOUT, "what was recorded stands"


def test_a_link_lost_while_cancelling_does_not_bring_the_task_back(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit()
    c.dispatcher.stop(ticket, Reason.ASKED)
    runner.fail(only(runner), LinkLost("cut"))
    assert ticket.ended is not None
    assert ticket.ended.outcome is Outcome.CANCELLED
    assert c.quiet()


def test_a_task_that_fits_nowhere_ends_with_what_is_wrong_with_the_pool(c: Controller) -> None:
    c.worker()
    ticket = c.submit(language="python:crawler")
    c.clock.advance(300)
    assert ticket.ended is not None
    assert ticket.ended.reason is Reason.NO_WORKER
    assert "0 of 1 linked workers have 'python:crawler'" in ticket.ended.detail
    assert c.quiet()


def test_an_error_with_one_task_never_stops_the_dispatching(
    c: Controller, logged_failures: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = c.worker()
    real = runner.run
    broken: list[int] = []

    def run(*args: Any) -> Any:
        if not broken:
            broken.append(1)
            raise OSError("transport is broken")
        return real(*args)

    monkeypatch.setattr(runner, "run", run)
    tickets = [c.submit() for _ in range(3)]
    for _ in range(6):
        for attempt in list(runner.runs):
            runner.end(attempt)
        c.clock.advance(1)
    assert [t.ended for t in tickets] == [SUCCESS] * 3
    assert tickets[0].attempts[0].failure is Outcome.INTERNAL_FAIL
    assert len(logged_failures) == 1
    assert c.quiet()
