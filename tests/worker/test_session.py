"""Sessions: who takes one over, what one keeps, and that none is left."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import KEY, SECRET, a_task
from pair import Pair
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.logger import capturedLogs
from twisted.test.iosim import FakeTransport, connect

from runyard.protocols.messages import Ack, Cancel, Message, Result, Run, Unwatch, Watch, Welcome
from runyard.protocols.outbox import Outbox
from runyard.protocols.proofs import Handshake, controller_proof
from runyard.sched.known import KnownWorkers
from runyard.sched.link import LinkSettings, WorkerLink
from runyard.sched.roster import Roster
from runyard.worker.kept import KEEP_S, KeptResults


def result(attempt: str) -> Result:
    return Result(attempt=attempt, outcome="success", isolation="none", detail="")


@pytest.fixture
def pair() -> Any:
    made = Pair()
    yield made
    made.client.close()
    made.pump.flush()
    for job in made.sandbox.jobs:
        if not job.done.called:
            job.end(9)
    made.clock.advance(KEEP_S)
    assert not made.factory._sessions
    assert not made.clock.getDelayedCalls(), "nothing stays timed after the link"


def another(pair: Pair, name: str = "scheduler") -> tuple[WorkerLink, Any, Any]:
    """Connect another controller's process to the same worker process."""
    endpoint: Any = None
    settings = LinkSettings(name, KEY, SECRET, 5.0, 15.0)
    known = KnownWorkers(pair.clock, settings.leases)
    link = WorkerLink(pair.clock, endpoint, "unix:w1", settings, Roster(pair.clock), known)
    server, client = pair.factory.buildProtocol(None), link.buildProtocol(None)
    pump = connect(
        server, FakeTransport(server, isServer=True),
        client, FakeTransport(client, isServer=False), clock=pair.clock,
    )  # fmt: skip
    pump.flush()
    return link, client, pump


def test_a_second_link_that_finds_the_worker_linked_does_not_disturb_the_first(pair: Pair) -> None:
    results = pair.run()
    other = Pair(beside=pair, worker=pair, address="unix:other")
    assert other.client.closing
    assert not pair.client.closing
    assert not pair.server.closing
    pair.sandbox.jobs[0].end(stdout=b"undisturbed")
    pair.pump.flush()
    assert results[-1].stdout == b"undisturbed"


def test_a_link_takes_the_session_over_with_its_resume(pair: Pair) -> None:
    pair.run()
    _, client, pump = another(pair)
    assert client.session is not None
    pair.pump.flush()
    assert pair.client.closing
    assert pair.sandbox.jobs[0].kills == 1, "the newer life of the controller does not want it"
    client.close()
    pump.flush()


@pytest.mark.parametrize(
    "early",
    [
        Run(attempt="t.1", language="python", limits={}, lease=10),
        Cancel(attempt="t.1", reason="asked"),
        Ack(attempt="t.1"),
        Watch(attempt="t.1"),
        Unwatch(attempt="t.1"),
    ],
    ids=lambda m: str(m.verb),
)
def test_what_needs_the_session_comes_after_resume(pair: Pair, early: Message) -> None:
    server = pair.factory.buildProtocol(None)
    transport: Any = StringTransportWithDisconnection()
    transport.protocol = server
    server.makeConnection(transport)
    shake = Handshake(2, "w1", "boot-1", "scheduler", server._nonce, "n")
    welcome = Welcome(
        version=2, name="scheduler", heartbeat=5.0, silence=15.0, nonce="n",
        proof=controller_proof(KEY, shake),
    )  # fmt: skip
    peer: Any = StringTransportWithDisconnection()
    box = Outbox(peer, 65_536)
    box.send(welcome)
    box.send(early)
    server.dataReceived(peer.value())
    assert server.proven
    assert b"Resume comes first" in transport.value()
    assert not pair.server.closing, "the older link goes on"


def test_a_run_that_cannot_be_read_leaves_nothing_in_its_session(pair: Pair) -> None:
    pair.client.send(Run(attempt="t.1", language="python", limits={"x": 1}, lease=10))
    pair.pump.flush()
    assert pair.client.closing
    assert pair.factory.settled


def test_results_that_nobody_takes_are_dropped_after_their_time(pair: Pair) -> None:
    for number in range(2):
        pair.run(attempt=f"t.{number}")
    pair.cut()
    for job in pair.sandbox.jobs:
        job.end()
    pair.clock.advance(KEEP_S - 1)
    assert not pair.factory.settled
    settled: list[Any] = []
    pair.factory.when_settled().addCallback(settled.append)
    with capturedLogs() as logs:
        pair.clock.advance(1)
    assert settled, "a worker that waits to leave may"
    assert len([e for e in logs if "were dropped" in e["log_format"]]) == 1
    assert not pair.factory._sessions


def test_a_result_s_time_is_its_own_and_an_ack_ends_it() -> None:
    clock = Clock()
    told: list[float] = []
    kept = KeptResults(clock, 100.0, lambda: told.append(clock.seconds()))
    for number in range(3):
        kept.add(result(f"t.{number}"))
        clock.advance(10)
    kept.forget("t.0")
    clock.advance(80)
    assert ("t.1" in kept, "t.2" in kept) == (False, True)
    clock.advance(10)
    assert not len(kept)
    assert not clock.getDelayedCalls()
    assert told == [110.0, 120.0]


def test_a_thousand_controllers_leave_no_session(pair: Pair) -> None:
    for number in range(1000):
        link, client, pump = another(pair, f"controller-{number}")
        if number % 100 == 0:
            (worker,) = link._roster
            worker.link.run("t.1", a_task(), lambda: None).addErrback(lambda _: None)
            pump.flush()
        client.close()
        pump.flush()
        for job in pair.sandbox.jobs:
            if not job.done.called:
                job.end()
    assert len(pair.factory._sessions) == 11, "those that left a result, and the one that is here"
    pair.client.close()
    pair.pump.flush()
    pair.clock.advance(KEEP_S)
    assert not pair.factory._sessions
    assert not pair.factory.links
