"""What a cut of a link loses, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import a_task
from pair import HOLD_S, LEASE_S, Pair
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from runyard.protocols.errors import LinkLost, Refused
from runyard.protocols.limits import Limits
from runyard.protocols.messages import Result
from runyard.protocols.tasks import Outcome, Reason
from runyard.sched.known import KnownWorkers
from runyard.sched.link import WorkerLink
from runyard.sched.needs import Need
from runyard.worker.kept import KEEP_S
from runyard.worker.link import Identity


@pytest.fixture
def pair() -> Any:
    made = Pair()
    yield made
    made.client.close()
    made.pump.flush()
    made.clock.advance(HOLD_S)
    for job in made.sandbox.jobs:
        if not job.done.called:
            job.end(9)
    made.clock.advance(KEEP_S)
    assert not made.clock.getDelayedCalls(), "nothing stays timed after the link"


def test_a_short_cut_loses_nothing_and_what_finished_meanwhile_arrives(pair: Pair) -> None:
    first, second = pair.run(attempt="a.1"), pair.run(attempt="b.1")
    one, two = pair.sandbox.jobs
    one.started()
    pair.cut()
    assert not list(pair.roster)
    two.started()
    two.end(stdout=b"while the link was cut")
    pair.clock.advance(9)
    assert [job.kills for job in pair.sandbox.jobs] == [0, 0]
    assert not [r for r in first if isinstance(r, Failure)]
    pair.connect()
    assert second[-1].stdout == b"while the link was cut"
    assert pair.worker.free == 2 - len(pair.worker.running)
    one.end(stdout=b"after it was back")
    pair.pump.flush()
    assert first[-1].stdout == b"after it was back"
    assert pair.factory.settled


def test_a_long_cut_ends_the_jobs_at_their_lease_and_then_loses_the_attempts(pair: Pair) -> None:
    results = pair.run()
    (job,) = pair.sandbox.jobs
    job.started()
    pair.cut()
    pair.clock.advance(9.9)
    assert job.kills == 0
    pair.clock.advance(0.2)
    assert job.kills == 1, "the lease is over"
    assert not [r for r in results if isinstance(r, Failure)], "it is in doubt"
    pair.clock.advance(HOLD_S)
    assert results[-1].check(LinkLost)
    job.end(9)


def test_one_whose_lease_was_over_is_lost_at_once_when_the_link_is_back(pair: Pair) -> None:
    results = pair.run()
    pair.cut()
    pair.clock.advance(11)
    pair.sandbox.jobs[0].end(9)
    pair.connect()
    assert results[-1].check(LinkLost)
    assert pair.factory.settled


def test_another_process_at_the_address_proves_the_last_one_dead(pair: Pair) -> None:
    results = pair.run()
    pair.cut()
    pair.factory.identity = Identity("w1", "boot-2")
    pair.factory._sessions.clear()
    pair.connect()
    assert results[-1].check(LinkLost), "without a wait"
    assert pair.worker.boot == "boot-2"
    assert pair.worker.running == set()


def test_a_cancel_during_a_cut_goes_out_when_the_link_is_back(pair: Pair) -> None:
    results = pair.run()
    worker = pair.worker
    pair.cut()
    worker.link.cancel("t.1", Reason.ASKED)
    pair.connect()
    (job,) = pair.sandbox.jobs
    assert job.kills == 1
    job.end(9)
    pair.pump.flush()
    assert results[-1].reason is Reason.ASKED


def test_a_controller_that_starts_anew_ends_what_its_last_life_left_running(pair: Pair) -> None:
    pair.run()
    pair.cut()
    endpoint: Any = None
    known = KnownWorkers(pair.clock, pair.link.settings.leases)
    pair.link = WorkerLink(
        pair.clock, endpoint, "unix:w1", pair.link.settings, pair.roster, known
    )  # fmt: skip
    pair.connect()
    (job,) = pair.sandbox.jobs
    assert job.kills == 1
    job.end(9)
    pair.pump.flush()
    assert pair.factory.settled


def test_nothing_goes_out_on_a_link_that_is_gone(pair: Pair) -> None:
    worker = pair.worker
    pair.cut()
    failed: list[Any] = []
    worker.link.run("c.1", a_task(), lambda: None).addErrback(failed.append)
    assert failed[0].check(Refused), "nothing was sent, so nothing counts"


def test_a_result_for_nobody_is_acknowledged_and_changes_nothing(pair: Pair) -> None:
    results = pair.run()
    stray = Result(attempt="unknown.1", outcome="success", isolation="none", detail="")
    pair.server.send(stray)
    pair.sandbox.jobs[0].end()
    pair.pump.flush()
    assert results[-1].outcome is Outcome.SUCCESS
    pair.server.send(Result(attempt="t.1", outcome="runtime_error", isolation="none", detail=""))
    pair.pump.flush()
    assert len(results) == 1
    assert pair.client.proven
    assert not pair.client.closing


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcome": "great"},
        {"limit": ["cpu_s", "a", 2]},
        {"limit": ["cpu_s", 10**400, 2]},
        {"limit": ["x" * 33, 1, 2]},
        {"limit": [5, 1, 2]},
    ],
)
def test_a_result_with_words_of_its_own_closes_the_link(pair: Pair, wrong: dict[str, Any]) -> None:
    results = pair.run()
    fields = {"attempt": "t.1", "outcome": "success", "isolation": "none", "detail": ""}
    pair.server.send(Result(**(fields | wrong)))
    pair.pump.flush()
    assert pair.client.closing
    pair.clock.advance(HOLD_S)
    assert results[-1].check(LinkLost)


def test_a_newer_worker_s_reason_and_limit_are_told_in_the_detail(pair: Pair) -> None:
    results = pair.run()
    fields: dict[str, Any] = {"attempt": "t.1", "outcome": "runtime_error", "isolation": "none"}
    pair.server.send(Result(**fields, detail="Ended.", reason="magic", limit=["mana", 5, 9.5]))
    pair.pump.flush()
    ended = results[-1]
    assert (ended.outcome, ended.reason, ended.limit) == (Outcome.RUNTIME_ERROR, None, None)
    assert ended.detail == "Ended. (reason magic; limit mana: 5 allowed, 9.5 measured)"
    assert list(pair.roster), "the link stays"
    pair.sandbox.jobs[0].end()


def test_a_draining_worker_gets_nothing_new_and_leaves_when_idle(pair: Pair) -> None:
    results = pair.run()
    pair.worker.link.drain(leave=True)
    pair.pump.flush()
    assert pair.worker.draining
    assert pair.worker.free == 0
    assert pair.run(attempt="t.2")[0].check(Refused)
    assert pair.left == []
    pair.sandbox.jobs[0].end()
    pair.pump.flush()
    assert results[-1].outcome is Outcome.SUCCESS
    assert pair.left == [True], "only after its result was acknowledged"


def test_an_idle_link_lives_and_a_frozen_peer_is_cut(pair: Pair) -> None:
    for _ in range(20):
        pair.clock.advance(5)
        pair.pump.flush()
    assert list(pair.roster)
    results = pair.run()
    pair.clock.pump([5.0] * 5)
    pair.pump.flush()
    assert not list(pair.roster)
    pair.clock.advance(HOLD_S)
    assert results[-1].check(LinkLost)


def test_lost_is_told_once(pair: Pair) -> None:
    lost: Deferred[None] = pair.client.lost
    pair.cut()
    assert lost.called


def test_a_worker_that_does_not_read_is_not_ready_until_it_does(pair: Pair) -> None:
    room: list[bool] = []
    pair.roster.room = lambda: room.append(True)
    pair.client._outbox.pauseProducing()  # type: ignore[union-attr]
    assert pair.roster.with_room(Need("python")) == []
    pair.client._outbox.resumeProducing()  # type: ignore[union-attr]
    assert pair.roster.with_room(Need("python")) == [pair.worker]
    assert room, "who waits for room is told"


def held_back(pair: Pair, seconds: float) -> list[Any]:
    """Send a Run that reaches the worker only after so many seconds; give what came of it."""
    results: list[Any] = []
    pair.worker.link.run("t.1", a_task(), lambda: None).addBoth(results.append)
    pair.clock.advance(seconds)
    pair.pump.flush()
    return results


def test_a_run_that_was_under_way_for_longer_than_its_lease_is_refused(pair: Pair) -> None:
    results = held_back(pair, LEASE_S + 0.1)
    assert pair.sandbox.jobs == []
    assert results[0].check(Refused)


def test_what_is_left_of_a_lease_counts_from_when_the_run_was_surely_sent(pair: Pair) -> None:
    held_back(pair, 4.0)
    assert pair.sandbox.jobs[0].job.lease <= LEASE_S - 4.0


def test_a_lease_is_renewed_by_what_the_controller_has_answered_not_by_old_bytes(
    pair: Pair,
) -> None:
    pair.run(a_task(limits=Limits(wall_s=300)))
    (job,) = pair.sandbox.jobs
    job.started()
    for _ in range(8):
        pair.clock.advance(2.5)
        pair.pump.flush()
    assert job.renewed > 0
    assert job.kills == 0
    renewed_to = pair.clock.seconds() + job.renewed
    pair.clock.advance(2.5)
    pair.clock.advance(2.5)
    pair.server.dataReceived(b'{"verb":"Ping","beat":0}\n')
    pair.clock.advance(2.4)
    assert pair.clock.seconds() + job.renewed <= renewed_to + 7.5


def test_a_link_that_is_open_but_lets_nothing_through_renews_no_lease(pair: Pair) -> None:
    pair.run()
    (job,) = pair.sandbox.jobs
    job.started()
    pair.pump.flush()
    pair.client.on_ping = lambda message: None  # type: ignore[method-assign]
    for _ in range(int(2 * LEASE_S / 0.5)):
        pair.clock.advance(0.5)
        pair.pump.flush()
        if job.kills:
            break
    assert job.kills == 1
    assert pair.clock.seconds() <= LEASE_S + 5.5, "a lease after the last answered Ping"
