"""The states controller whole, over fake links and a clock."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import SUCCESS, FakeRunner, a_task, a_worker
from twisted.internet.task import Clock

from runyard.protocols.errors import LinkLost, Refused
from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Ended, Outcome, Reason, State
from runyard.sched.attempts import Timing
from runyard.sched.backlog import Backlog, Full
from runyard.sched.dispatcher import Dispatcher, Draining, Settings
from runyard.sched.roster import Roster
from runyard.sched.tickets import Ticket, Tickets

TIMING = Timing(grace=2.0, launch=15.0, confirm=5.0)


class Controller:
    """A dispatcher with everything below it."""

    def __init__(self, most: int = 100) -> None:
        self.clock = Clock()
        self.roster = Roster(self.clock)
        self.tickets = Tickets(self.clock.seconds, 1000, 1000, 1 << 30)
        self.backlog = Backlog(most, 1 << 20)
        settings = Settings(start_timeout=300, timing=TIMING)
        self.dispatcher = Dispatcher(
            self.clock, self.tickets, self.backlog, self.roster, settings, luck=lambda: 0.5
        )

    def worker(self, name: str = "w1", slots: int = 1) -> FakeRunner:
        worker, runner = a_worker(name, slots)
        self.roster.up(worker)
        return runner

    def submit(self, **more: Any) -> Ticket:
        return self.dispatcher.submit(a_task(**more))

    def quiet(self) -> bool:
        return not self.clock.getDelayedCalls() and not self.roster.slots_in_use


@pytest.fixture
def c() -> Controller:
    return Controller()


def only(runner: FakeRunner) -> str:
    (attempt,) = runner.runs
    return attempt


def test_a_task_runs_on_a_free_worker_and_its_end_is_recorded(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit()
    assert ticket.state is State.RUNNING
    attempt = only(runner)
    runner.starts[attempt]()
    c.clock.advance(0.5)
    runner.end(attempt)
    assert ticket.ended is SUCCESS
    assert ticket.finished_at == 0.5
    assert [(a.number, a.worker, a.ended_at) for a in ticket.attempts] == [(1, "w1", 0.5)]
    assert c.quiet()


def test_more_tasks_than_slots_wait_in_order_and_follow(c: Controller) -> None:
    first, second, urgent = c.submit(), c.submit(), c.submit(priority=5)
    assert {t.state for t in (first, second, urgent)} == {State.PENDING}
    runner = c.worker()
    finished = []
    for _ in range(3):
        runner.end(only(runner))
        finished.append([t.state is State.FINISH for t in (urgent, first, second)])
    assert finished == [[True, False, False], [True, True, False], [True, True, True]]
    assert c.quiet()


def test_never_more_runs_in_flight_than_slots(c: Controller) -> None:
    runner = c.worker(slots=3)
    for _ in range(10):
        c.submit()
    assert len(runner.runs) == 3
    assert len(c.backlog) == 7
    c.dispatcher.draining = True


def test_a_full_backlog_and_a_stopping_scheduler_refuse(c: Controller) -> None:
    small = Controller(most=1)
    small.submit()
    with pytest.raises(Full):
        small.submit()
    small.dispatcher.draining = True
    with pytest.raises(Draining):
        small.submit()


def test_a_lost_link_feeds_the_retry_queue_and_another_worker_is_preferred(c: Controller) -> None:
    one = c.worker("one", slots=4)
    ticket = c.submit()
    two = c.worker("two")
    one.fail(only(one), LinkLost("gone"))
    assert ticket.state is State.PENDING
    c.clock.advance(0.5)
    two.end(only(two))
    assert ticket.ended is SUCCESS
    assert [(a.worker, a.failure) for a in ticket.attempts] == [
        ("one", Outcome.NETWORK_FAIL),
        ("two", None),
    ]
    assert c.quiet()


def test_the_cap_of_attempts_makes_it_final_with_the_last_cause(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit(attempts=2)
    for _ in range(2):
        runner.fail(only(runner), LinkLost("cut"))
        c.clock.advance(5)
    assert ticket.ended is not None
    assert ticket.ended.outcome is Outcome.NETWORK_FAIL
    assert "cut" in ticket.ended.detail
    assert len(ticket.attempts) == 2
    assert c.quiet()


def test_at_most_once_means_it(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit(attempts=1)
    runner.fail(only(runner), LinkLost("cut"))
    assert ticket.state is State.FINISH
    c.clock.advance(1000)
    assert not runner.runs


def test_a_worker_s_own_failure_is_retried_soon_and_the_task_s_is_not(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit()
    runner.end(only(runner), Ended(Outcome.INTERNAL_FAIL, Reason.SANDBOX, "no disk"))
    assert ticket.state is State.PENDING
    c.clock.advance(1)
    own = Ended(Outcome.RUNTIME_ERROR, Reason.EXIT_CODE, exit_code=1)
    runner.end(only(runner), own)
    assert ticket.ended is own
    assert ticket.attempts[0].failure is Outcome.INTERNAL_FAIL
    assert c.quiet()


def test_a_refused_run_goes_back_to_its_place_without_counting(c: Controller) -> None:
    runner = c.worker()
    ticket, later = c.submit(attempts=1), c.submit()
    ids = set()
    for _ in range(5):
        attempt = only(runner)
        ids.add(attempt)
        runner.fail(attempt, Refused("no slot"))
        assert not runner.runs, "the worker is left alone for a while"
        assert ticket.attempts == []
        assert ticket.started_at is None
        c.clock.advance(5)
    (worker,) = c.roster
    assert worker.failures == 0
    assert len(ids) == 5, "no attempt's name comes twice"
    runner.end(only(runner))
    assert ticket.ended is SUCCESS
    assert len(ticket.attempts) == 1
    runner.end(only(runner))
    assert later.ended is SUCCESS


def test_one_that_is_refused_for_ever_ends_in_its_time(c: Controller) -> None:
    runner = c.worker()
    ticket = c.submit()
    for _ in range(1000):
        if ticket.state is State.FINISH:
            break
        for attempt in list(runner.runs):
            runner.fail(attempt, Refused("no slot"))
        c.clock.advance(1)
    assert ticket.ended is not None
    assert ticket.ended.reason is Reason.NO_WORKER
    assert ticket.finished_at is not None
    assert 299 < ticket.finished_at < 310


def test_refused_tasks_stay_in_the_bounded_backlog() -> None:
    small = Controller(most=2)
    runner = small.worker()
    small.submit()
    small.submit()
    runner.fail(only(runner), Refused("no slot"))
    with pytest.raises(Full):
        small.submit()
    small.clock.advance(1000)


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
