"""Tasks that may have killed their worker run alone; those that have are stopped."""

from __future__ import annotations

import pytest
from controller import Controller, only
from fakes import SUCCESS, FakeRunner

from runyard.protocols.errors import LinkLost, Loss
from runyard.protocols.tasks import Outcome, Reason, State
from runyard.sched.tickets import Ticket


@pytest.fixture
def c() -> Controller:
    return Controller(most=1000)


def die(c: Controller, name: str, runner: FakeRunner) -> None:
    """The worker's process dies with all that it runs."""
    worker = c.roster.workers[name]
    c.roster.down(worker)
    lost = list(runner.runs)
    for attempt in lost:
        runner.fail(attempt, LinkLost("it died", Loss.DEATH, len(lost) - 1))


def test_a_shared_loss_makes_suspects_that_run_alone_and_costs_them_nothing(c: Controller) -> None:
    first = c.worker("w1", slots=4)
    tickets = [c.submit(attempts=2) for _ in range(4)]
    die(c, "w1", first)
    second = c.worker("w2", slots=4)
    c.clock.advance(1)
    for number in range(4):
        assert len(second.runs) == 1, "alone"
        second.end(only(second))
        assert [t.state for t in tickets].count(State.FINISH) == number + 1
    assert [t.ended for t in tickets] == [SUCCESS] * 4
    assert {len(t.attempts) for t in tickets} == {2}
    assert {t.tally.counted for t in tickets} == {0}


def test_two_losses_of_its_own_end_it_and_say_why(c: Controller) -> None:
    ticket = c.submit(attempts=10)
    for number in range(2):
        runner = c.worker(f"w{number}", slots=4)
        die(c, f"w{number}", runner)
        c.clock.advance(5)
    assert ticket.ended is not None
    assert (ticket.ended.outcome, ticket.ended.reason) == (Outcome.NETWORK_FAIL, Reason.POISON)
    assert "it died" in ticket.ended.detail
    assert [a.worker for a in ticket.attempts] == ["w0", "w1"]


def test_a_suspect_waits_for_a_busy_worker_to_become_idle_and_others_go_elsewhere(
    c: Controller,
) -> None:
    first = c.worker("w1", slots=2)
    suspects = [c.submit(), c.submit()]
    die(c, "w1", first)
    busy, other = c.worker("w2", slots=2), c.worker("w3", slots=2)
    running = [c.submit() for _ in range(4)]
    c.clock.advance(1)
    waiting = [c.submit() for _ in range(2)]
    assert {t.state for t in (*suspects, *waiting)} == {State.PENDING}
    busy.end(next(iter(busy.runs)))
    assert len(busy.runs) == 1, "it is being emptied"
    for attempt in list(other.runs):
        other.end(attempt)
    assert {t.state for t in waiting} == {State.RUNNING}, "its neighbours are unharmed"
    busy.end(only(busy))
    assert [t.state for t in suspects].count(State.RUNNING) == 1
    assert len(busy.runs) == 1
    assert {t.state for t in running} == {State.FINISH}


def test_the_worker_of_a_suspect_that_was_cancelled_is_everybody_s_again(c: Controller) -> None:
    first = c.worker("w1", slots=2)
    suspects = [c.submit(), c.submit()]
    die(c, "w1", first)
    busy = c.worker("w2", slots=2)
    c.submit()
    c.clock.advance(1)
    later = c.submit()
    assert later in list(c.backlog), "w2 is kept"
    for ticket in suspects:
        c.dispatcher.stop(ticket, Reason.ASKED)
    assert later.state is State.RUNNING
    assert len(busy.runs) == 2


def test_a_kept_worker_that_dies_or_drains_is_given_up_for_another(c: Controller) -> None:
    first = c.worker("w1", slots=2)
    suspects = [c.submit(), c.submit()]
    die(c, "w1", first)
    kept = c.worker("w2", slots=2)
    blocker = c.submit()
    c.clock.advance(1)
    worker = c.roster.workers["w2"]
    assert worker.kept_for in {t.task.id for t in suspects}
    worker.draining = True
    c.roster.refresh(worker)
    third = c.worker("w3", slots=2)
    assert len(third.runs) == 1
    third.end(only(third))
    third.end(only(third))
    assert [t.ended for t in suspects] == [SUCCESS] * 2
    kept.end(only(kept))
    assert blocker.ended is SUCCESS


def test_one_poison_task_among_many_ends_and_the_others_succeed(c: Controller) -> None:
    fleet = {name: c.worker(name, slots=2) for name in ("a", "b")}
    good = [c.submit() for _ in range(100)]
    poison = c.submit(attempts=10)
    good += [c.submit() for _ in range(100)]
    for _ in range(3000):
        if all(t.state is State.FINISH for t in (poison, *good)):
            break
        c.clock.advance(0.1)
        for name, runner in fleet.items():
            if any(attempt.startswith(poison.task.id) for attempt in runner.runs):
                die(c, name, runner)
                fleet[name] = c.worker(name, slots=2)
                break
            for attempt in list(runner.runs):
                runner.end(attempt)
    assert [t.ended for t in good] == [SUCCESS] * 200
    assert poison.ended is not None
    assert poison.ended.reason is Reason.POISON
    assert len(poison.attempts) <= 3, "at most one shared loss, then two of its own"
    assert max(len(t.attempts) for t in good) <= 2


def test_a_drain_of_ours_makes_no_suspect_and_costs_nothing(c: Controller) -> None:
    tickets: list[Ticket] = [c.submit(attempts=2)]
    for number in range(8):
        name = f"w{number}"
        runner = c.worker(name)
        c.clock.advance(60)
        c.roster.workers[name].draining = True
        die(c, name, runner)
        c.clock.advance(60)
    c.worker("last")
    c.clock.advance(60)
    assert tickets[0].state is State.RUNNING
    assert not tickets[0].tally.suspect
