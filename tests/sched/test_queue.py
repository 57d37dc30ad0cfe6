"""Backlog, tickets, roster, evaluator, recovery, retries: the states controller's values."""

from __future__ import annotations

from functools import partial

import pytest
from fakes import SUCCESS, a_task, a_worker
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from runyard.protocols.tasks import Ended, Outcome, State
from runyard.sched.backlog import Backlog, Full, Lane
from runyard.sched.evaluator import Candidate, choose
from runyard.sched.needs import Need
from runyard.sched.recovery import Retry, Tally
from runyard.sched.retries import Retries
from runyard.sched.roster import Roster
from runyard.sched.tickets import Ticket, Tickets

PYTHON = Need("python")


def tickets(clock: Clock, keep: float = 100, tasks: int = 10, size: int = 1 << 30) -> Tickets:
    return Tickets(clock.seconds, keep, tasks, size)


def note(told: list[str], name: str, _: object) -> None:
    told.append(name)


def a_ticket(**more: object) -> Ticket:
    return Ticket(a_task(**more), 0.0)  # type: ignore[arg-type]


def test_priority_goes_first_then_age_and_each_runtime_has_its_own_queue() -> None:
    backlog = Backlog(10, 1 << 20)
    low, first, second, high = (a_ticket(priority=p) for p in (-1, 0, 0, 7))
    other = a_ticket(language="python:crawler")
    for ticket in (low, first, other, second, high):
        backlog.put(ticket)
    assert [backlog.position(t) for t in (high, first, second, low, other)] == [1, 2, 3, 4, 1]
    order = []
    while (following := backlog.first(Lane(PYTHON))) is not None:
        backlog.remove(following)
        order.append(following)
    assert order == [high, first, second, low]
    assert backlog.lanes() == [Lane(Need("python:crawler"))]


def test_waiting_weighs_as_priority_so_that_nothing_starves() -> None:
    backlog = Backlog(10_000, 1 << 30)
    old = a_ticket(priority=-5)
    backlog.put(old)
    overtaken = 0
    for second in range(1000):
        fresh = a_ticket(priority=5)
        fresh.queued_at = float(second)
        backlog.put(fresh)
        following = backlog.first(Lane(PYTHON))
        assert following is not None
        backlog.remove(following)
        if following is old:
            break
        overtaken += 1
    assert 28 <= overtaken <= 31, "ten steps of priority, three seconds each"


def test_suspects_wait_in_a_lane_of_their_own() -> None:
    backlog = Backlog(10, 1 << 20)
    plain, suspect = a_ticket(), a_ticket()
    suspect.tally = Tally(shared=1)
    backlog.put(plain)
    backlog.put(suspect)
    assert backlog.lanes() == [Lane(PYTHON, True), Lane(PYTHON)]
    assert backlog.first(Lane(PYTHON, True)) is suspect
    assert backlog.position(plain) == 1
    assert backlog.remove(suspect)
    assert list(backlog) == [plain]


def test_one_that_comes_again_goes_before_its_equals() -> None:
    backlog = Backlog(10, 1 << 20)
    older, again = a_ticket(), a_ticket()
    backlog.put(older)
    backlog.put(again, again=True)
    assert backlog.first(Lane(PYTHON)) is again


def test_the_backlog_is_bounded_by_count_and_by_bytes_and_counts_down_again() -> None:
    backlog = Backlog(2, 100)
    one, two = a_ticket(code=b"x" * 40), a_ticket(code=b"x" * 40)
    backlog.put(one)
    with pytest.raises(Full, match="bytes"):
        backlog.check(61)
    backlog.put(two)
    with pytest.raises(Full, match="2 tasks"):
        backlog.check(1)
    assert backlog.remove(one)
    assert not backlog.remove(one)
    backlog.check(60)
    assert (len(backlog), backlog.bytes) == (1, 40)


def test_everyone_who_waits_is_told_and_a_cancel_takes_away_only_its_own() -> None:
    clock = Clock()
    store = tickets(clock)
    ticket = store.open(a_task())
    told: list[str] = []
    first, second, third = ticket.wait(), ticket.wait(), ticket.wait()
    for name, waiter in (("first", first), ("third", third)):
        waiter.addCallback(partial(note, told, name))
    gone: list[object] = []
    second.addErrback(lambda failure: gone.append(failure.check(CancelledError)))
    second.cancel()
    store.finish(ticket, SUCCESS)
    ticket.wait().addCallback(lambda _: told.append("late"))
    assert (sorted(told), gone) == (["first", "late", "third"], [CancelledError])


def test_a_ticket_finishes_once() -> None:
    ticket = a_ticket()
    ticket.finish(SUCCESS, 1.0)
    with pytest.raises(RuntimeError, match="finish cannot become finish"):
        ticket.finish(SUCCESS, 2.0)
    with pytest.raises(RuntimeError, match="cannot become running"):
        ticket.move(State.RUNNING)


def test_finished_tickets_are_kept_for_a_time_in_number_and_in_bytes() -> None:
    clock = Clock()
    store = tickets(clock, keep=10, tasks=3)
    opened = [store.open(a_task()) for _ in range(5)]
    for ticket in opened[:4]:
        store.finish(ticket, SUCCESS)
    assert store.get(opened[0].task.id) is None, "three are kept"
    assert store.get(opened[1].task.id) is opened[1]
    clock.advance(10.5)
    assert store.get(opened[3].task.id) is None, "for ten seconds"
    assert store.get(opened[4].task.id) is opened[4], "an unfinished one always"
    heavy = tickets(clock, size=10_000)
    large = [heavy.open(a_task()) for _ in range(3)]
    for ticket in large:
        heavy.finish(ticket, Ended(Outcome.SUCCESS, stdout=b"x" * 4_000))
    assert [heavy.get(t.task.id) is not None for t in large] == [False, False, True]


def test_the_evaluator_prefers_room_shuns_failures_and_avoids_only_if_it_can() -> None:
    full, half, idle = Candidate("a", 4, 0), Candidate("b", 4, 2), Candidate("c", 4, 4)
    assert choose([full]).name is None
    assert choose([]).name is None
    assert choose([full, half, idle]).name == "c"
    assert choose([half, idle], frozenset({"c"})).name == "b"
    assert choose([idle], frozenset({"c"})).name == "c"
    assert choose([Candidate("bad", 4, 4, failures=0.9), half]).name == "b"
    assert choose([Candidate("slow", 4, 4, overhead_s=1.5), half]).name == "b"
    assert choose([Candidate("x", 2, 1), Candidate("y", 2, 1)]).name == "x"


def test_a_choice_tells_the_terms_that_made_it() -> None:
    slow, failing = Candidate("a", 4, 2, overhead_s=0.5), Candidate("b", 4, 4, failures=0.5)
    first, second = choose([failing, slow], frozenset({"b"})).ratings
    assert (first.name, first.room, first.slowness, first.score) == ("a", 0.5, -0.5, 0.0)
    assert (second.name, second.room, second.failures, second.avoided) == ("b", 1.0, -1.0, -10.0)


def test_the_evaluator_looks_at_sixteen_at_most() -> None:
    many = [Candidate(str(n), 2, 1) for n in range(16)] + [Candidate("last", 2, 2)]
    best = choose(many)
    assert best.name == "0"
    assert len(best.ratings) == 16


def test_the_roster_offers_only_workers_with_room_for_the_runtime() -> None:
    roster = Roster(Clock())
    one, _ = a_worker("one", slots=1)
    two, runner = a_worker("two", slots=2, runtimes=("python", "python:x"))
    roster.up(one)
    roster.up(two)
    assert roster.with_room(Need("python:x")) == [two]
    assert roster.with_room(Need("node")) == []
    roster.take(one, "a")
    assert roster.with_room(PYTHON) == [two]
    two.draining = True
    roster.refresh(two)
    assert roster.with_room(PYTHON) == []
    two.draining = False
    runner.busy = True
    roster.refresh(two)
    assert roster.with_room(PYTHON) == [], "its link is clogged"
    runner.busy = False
    roster.release(one, "a")
    roster.down(one)
    roster.refresh(two)
    assert roster.with_room(PYTHON) == [two]


def test_equal_workers_take_turns() -> None:
    roster = Roster(Clock())
    for name in ("a", "b"):
        roster.up(a_worker(name, slots=4)[0])
    seen = []
    for attempt in "1234":
        worker = roster.with_room(PYTHON)[0]
        roster.take(worker, attempt)
        seen.append(worker.name)
    assert seen == ["a", "b", "a", "b"]


LOST = Ended(Outcome.NETWORK_FAIL)


def test_a_ticket_comes_back_when_its_back_off_is_over_unless_it_was_taken_out() -> None:
    clock = Clock()
    due: list[Ticket] = []
    retries = Retries(clock, due.append)
    waits, cancelled = a_ticket(), a_ticket()
    retries.add(waits, Retry(2))
    retries.add(cancelled, Retry(2))
    assert retries.remove(cancelled)
    assert not retries.remove(cancelled)
    clock.advance(1.9)
    assert due == []
    clock.advance(0.2)
    assert due == [waits]
    assert len(retries) == 0
