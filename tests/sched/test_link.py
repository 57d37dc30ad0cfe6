"""Both ends of a link, the real classes, back to back in memory."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes import SECRET, a_task
from pair import HOLD_S, Pair
from twisted.python.failure import Failure

from runyard.protocols.errors import Refused
from runyard.protocols.limits import MIB
from runyard.protocols.tasks import Ended, Outcome, Reason
from runyard.worker.kept import KEEP_S
from runyard.worker.link import Credentials


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
    other = Pair(beside=pair, boot="boot-2", address="unix:w2")
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
