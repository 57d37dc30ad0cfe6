"""Both ends of a link, the real classes, back to back in memory."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes import KEY, SECRET, FakeSandbox, a_task
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump, connect

from runyard.protocols.errors import LinkLost, Refused
from runyard.protocols.limits import MIB, Limits
from runyard.protocols.messages import Result
from runyard.protocols.tasks import Ended, Outcome, Reason, Task
from runyard.sched.link import LinkSettings, WorkerConnection, WorkerLink
from runyard.sched.roster import Roster, Worker
from runyard.worker.executor import Executor
from runyard.worker.link import ControllerLink, Credentials, Identity, WorkerFactory


class Pair:
    """A controller and a worker with a fake sandbox, connected by a pump."""

    def __init__(
        self, slots: int = 2, secret: bytes = SECRET, name: str = "w1", roster: Roster | None = None
    ) -> None:
        self.clock = Clock()
        self.sandbox = FakeSandbox()
        self.executor = Executor(self.clock, self.sandbox, slots)
        self.left: list[bool] = []
        self.factory = WorkerFactory(
            self.clock, self.executor, Identity(name, "boot-1"),
            Credentials(KEY.public_key(), secret), lambda: self.left.append(True), lambda n: None,
        )  # fmt: skip
        self.roster = roster or Roster(self.clock)
        settings = LinkSettings("scheduler", KEY, SECRET, 5.0, 15.0)
        endpoint: Any = None
        self.link = WorkerLink(self.clock, endpoint, "unix:w1", settings, self.roster)
        self.connect()

    def connect(self) -> None:
        self.server: ControllerLink = self.factory.buildProtocol(None)
        self.client: WorkerConnection = self.link.buildProtocol(None)
        self.pump: IOPump = connect(
            self.server, FakeTransport(self.server, isServer=True),
            self.client, FakeTransport(self.client, isServer=False), clock=self.clock,
        )  # fmt: skip
        self.pump.flush()

    @property
    def worker(self) -> Worker:
        (worker,) = self.roster
        return worker

    def run(self, task: Task | None = None, attempt: str = "t.1") -> list[Any]:
        results: list[Any] = []
        run = self.worker.link.run(attempt, task or a_task(), lambda: results.append("started"))
        run.addBoth(results.append)
        self.pump.flush()
        return results

    def cut(self) -> None:
        self.server.transport.loseConnection()
        self.pump.flush()


@pytest.fixture
def pair() -> Any:
    made = Pair()
    yield made
    made.client.close()
    made.pump.flush()
    made.clock.advance(made.link.settings.hold)
    for job in made.sandbox.jobs:
        if not job.done.called:
            job.end(9)
    assert not made.clock.getDelayedCalls(), "nothing stays timed after the link"


def test_the_handshake_makes_a_worker_of_the_roster(pair: Pair) -> None:
    worker = pair.worker
    assert (worker.name, worker.boot, worker.slots, worker.runtimes) == (
        "w1", "boot-1", 2, ("python",),
    )  # fmt: skip
    assert pair.server.proven
    assert pair.client.proven


def test_a_worker_with_another_secret_gets_no_work() -> None:
    pair = Pair(secret=b"x" * 32)
    assert not list(pair.roster)
    assert not pair.client.proven
    assert pair.client.closing


def test_a_controller_with_another_key_commands_nobody() -> None:
    pair = Pair()
    pair.cut()
    pair.factory.credentials = Credentials(Ed25519PrivateKey.generate().public_key(), SECRET)
    pair.connect()
    assert not pair.server.proven
    assert not list(pair.roster)


def test_a_second_worker_of_the_same_name_is_refused_and_the_first_stays(pair: Pair) -> None:
    other = Pair(roster=pair.roster)
    assert other.client.closing
    assert pair.worker is pair.link.worker


def test_a_task_goes_out_and_its_result_comes_back_to_the_byte(pair: Pair) -> None:
    task = a_task(b"\xff code \n", stdin=b"\x00in", args=("a", "", "ü"), env=(("A", "x=1"),))
    results = pair.run(task)
    (running,) = pair.sandbox.jobs
    job = running.job
    assert (job.code, job.stdin, job.args, job.env) == (task.code, task.stdin, task.args, task.env)
    assert job.limits == task.limits
    running.started()
    running.end(stdout=b"\x00out\n", stderr=b"\xfferr", wall_s=0.25)
    pair.pump.flush()
    started, ended = results
    assert started == "started"
    assert isinstance(ended, Ended)
    assert (ended.outcome, ended.stdout, ended.stderr) == (
        Outcome.SUCCESS,
        b"\x00out\n",
        b"\xfferr",
    )
    assert pair.factory.settled, "the result was acknowledged"


def test_everything_at_its_maximum_passes_unchanged(pair: Pair) -> None:
    task = a_task(
        b"#" * MIB, stdin=b"s" * 16 * MIB, args=("\x01" * 30_000,), env=(("A", '"' * 30_000),)
    )
    results = pair.run(task)
    job = pair.sandbox.jobs[0].job
    assert (job.code, job.stdin, job.args, job.env) == (task.code, task.stdin, task.args, task.env)
    lines = b"y\n" * 8 * MIB
    pair.sandbox.jobs[0].end(stdout=lines, stderr=lines)
    pair.pump.flush()
    assert results[-1].stdout == lines
    assert results[-1].stderr == lines


def test_more_than_the_slots_is_refused_and_nothing_has_started(pair: Pair) -> None:
    for number in range(2):
        pair.run(attempt=f"t.{number}")
    results = pair.run(attempt="t.9")
    assert isinstance(results[0], Failure)
    assert results[0].check(Refused)
    assert len(pair.sandbox.jobs) == 2
    assert pair.run(a_task(language="ruby"), "t.8")[0].check(Refused)


def test_a_cancel_ends_the_job_and_the_result_says_for_what(pair: Pair) -> None:
    results = pair.run()
    pair.worker.link.cancel("t.1", Reason.ASKED)
    pair.pump.flush()
    (job,) = pair.sandbox.jobs
    assert job.kills == 1
    job.end(status=9, stdout=b"so far")
    pair.pump.flush()
    assert (results[-1].outcome, results[-1].reason) == (Outcome.CANCELLED, Reason.ASKED)
    assert results[-1].stdout == b"so far"


def test_a_cancel_that_overtakes_its_own_large_run_is_not_lost(pair: Pair) -> None:
    pair.client._outbox.pauseProducing()  # type: ignore[union-attr]
    results = pair.run(a_task(stdin=b"x" * MIB))
    pair.worker.link.cancel("t.1", Reason.HUNG_UP)
    pair.pump.flush()
    pair.client._outbox.resumeProducing()  # type: ignore[union-attr]
    pair.pump.flush()
    assert pair.sandbox.jobs == []
    assert results[0].check(Refused)


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
    pair.clock.advance(pair.link.settings.hold)
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
    pair.link = WorkerLink(pair.clock, endpoint, "unix:w1", pair.link.settings, pair.roster)
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
        {"reason": "magic"},
        {"limit": ["x", 1, 2]},
        {"limit": ["cpu_s", "a", 2]},
    ],
)
def test_a_result_with_words_of_its_own_closes_the_link(pair: Pair, wrong: dict[str, Any]) -> None:
    results = pair.run()
    fields = {"attempt": "t.1", "outcome": "success", "isolation": "none", "detail": ""}
    pair.server.send(Result(**(fields | wrong)))
    pair.pump.flush()
    assert pair.client.closing
    pair.clock.advance(pair.link.settings.hold)
    assert results[-1].check(LinkLost)


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
    pair.clock.advance(pair.link.settings.hold)
    assert results[-1].check(LinkLost)


def test_lost_is_told_once(pair: Pair) -> None:
    lost: Deferred[None] = pair.client.lost
    pair.cut()
    assert lost.called


def test_a_worker_that_does_not_read_is_not_ready_until_it_does(pair: Pair) -> None:
    room: list[bool] = []
    pair.roster.room = lambda: room.append(True)
    pair.client._outbox.pauseProducing()  # type: ignore[union-attr]
    assert pair.roster.with_room("python") == []
    pair.client._outbox.resumeProducing()  # type: ignore[union-attr]
    assert pair.roster.with_room("python") == [pair.worker]
    assert room, "who waits for room is told"


def held_back(pair: Pair, seconds: float) -> list[Any]:
    """Send a Run that reaches the worker only after so many seconds; give what came of it."""
    results: list[Any] = []
    pair.worker.link.run("t.1", a_task(), lambda: None).addBoth(results.append)
    pair.clock.advance(seconds)
    pair.pump.flush()
    return results


def test_a_run_that_was_under_way_for_longer_than_its_lease_is_refused(pair: Pair) -> None:
    results = held_back(pair, pair.link.settings.lease + 0.1)
    assert pair.sandbox.jobs == []
    assert results[0].check(Refused)


def test_what_is_left_of_a_lease_counts_from_when_the_run_was_surely_sent(pair: Pair) -> None:
    held_back(pair, 4.0)
    assert pair.sandbox.jobs[0].job.lease <= pair.link.settings.lease - 4.0


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
