"""The states controller whole, over fake links and a clock."""

from __future__ import annotations

import pytest
from controller import Controller, only
from fakes import SUCCESS

from runyard.protocols.errors import LinkLost, Refused
from runyard.protocols.tasks import Ended, Outcome, Reason, State
from runyard.sched.backlog import Full
from runyard.sched.dispatcher import Draining


@pytest.fixture
def c() -> Controller:
    return Controller()


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
    assert worker.health.failures == 0
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
