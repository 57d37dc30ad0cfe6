"""Version 1, as its bytes were when it was the only one, against both of our sides of today.

No line here is made by our encoder: a change that a peer of version 1 would notice fails here.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes import KEY, SECRET, FakeSandbox, a_task
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from runyard.protocols.tasks import Outcome
from runyard.sched.known import KnownWorkers
from runyard.sched.link import LinkSettings, WorkerLink
from runyard.sched.roster import Roster
from runyard.worker.executor import Executor
from runyard.worker.link import Credentials, Identity, WorkerFactory

HELLO = (
    b'{"verb":"Hello","versions":[1],"name":"w1","boot":"boot-1","slots":2,"isolation":"none",'
    b'"nonce":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","runtimes":["python"],"formats":[]}\n'
)
WELCOME = (
    b'{"verb":"Welcome","version":1,"name":"scheduler","heartbeat":5.0,"silence":15.0,'
    b'"nonce":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",'
    b'"proof":"115bb86e0fe3e1cc43c96cfed2fcb31899c6b79ee221675d356656eaf1fa1f37'
    b'd36eb60b14f3b54b00b3a1cd8d81154655cdb40a128758aa0e2756f899cb080f"}\n'
)
PROOF = (
    b'{"verb":"Proof","proof":"d6fbd5b51e66187716e5a3f5ad4bdde1a91774464259bed62f6078c6a61dfdf6"}\n'
)
RESUME = b'{"verb":"Resume","attempts":[]}\n'
INVENTORY = b'{"verb":"Inventory","running":[],"finished":[]}\n'
RUN = (
    b'{"verb":"Run","attempt":"t.1","language":"python","lease":10.0,"beat":0,"limits":{"wall_s":10,'
    b'"cpu_s":10,"memory_bytes":268435456,"processes":64,"output_bytes":1048576,'
    b'"file_bytes":16777216,"disk_bytes":67108864},"payload":[10,2,0,0]}\nprint(6*7)in'
)
STARTED = b'{"verb":"Started","attempt":"t.1"}\n'
RESULT = (
    b'{"verb":"Result","attempt":"t.1","outcome":"success","isolation":"none","detail":"",'
    b'"reason":null,"exit_code":0,"signal":null,"stdout_truncated":false,"stderr_truncated":false,'
    b'"confirmed":true,"limit":[],"wall_s":0.1,"cpu_s":0.1,"max_rss_bytes":1,"payload":[3,0]}\n42\n'
)
ACK = b'{"verb":"Ack","attempt":"t.1","discarded":false}\n'
PING, PONG = b'{"verb":"Ping","beat":7}\n', b'{"verb":"Pong","beat":7}\n'


@pytest.fixture(autouse=True)
def _nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runyard.worker.link.new_token", lambda: "a" * 32)
    monkeypatch.setattr("runyard.sched.connection.new_token", lambda: "b" * 32)


class Side:
    """One of our sides, with a peer that is only bytes."""

    def __init__(self, protocol: Any, clock: Clock) -> None:
        self.protocol = protocol
        self.clock = clock
        self.transport: Any = StringTransportWithDisconnection()
        self.transport.protocol = protocol
        protocol.makeConnection(self.transport)

    def hears(self, data: bytes) -> bytes:
        """Hand it bytes; give what it writes to that."""
        self.transport.clear()
        self.protocol.dataReceived(data)
        written: bytes = self.transport.value()
        return written

    def close(self) -> None:
        self.protocol.transport.loseConnection()
        self.clock.advance(4000)
        assert not self.clock.getDelayedCalls()


@pytest.fixture
def controller() -> Any:
    """Give our controller, and its roster."""
    clock = Clock()
    roster = Roster(clock)
    endpoint: Any = None
    settings = LinkSettings("scheduler", KEY, SECRET, 5.0, 15.0)
    known = KnownWorkers(clock, settings.leases)
    link = WorkerLink(clock, endpoint, "unix:w1", settings, roster, known)
    side = Side(link.buildProtocol(None), clock)
    yield side, roster
    side.close()


@pytest.fixture
def worker() -> Any:
    """Give our worker, its Hello, and what it runs."""
    clock = Clock()
    sandbox = FakeSandbox()
    factory = WorkerFactory(
        clock, Executor(clock, sandbox, 2), Identity("w1", "boot-1"),
        Credentials(KEY.public_key(), SECRET), lambda: None, lambda n: None,
    )  # fmt: skip
    side = Side(factory.buildProtocol(None), clock)
    yield side, sandbox, factory
    for job in sandbox.jobs:
        if not job.done.called:
            job.end(9)
    side.close()


def header(data: bytes) -> dict[str, Any]:
    """Read the first line."""
    found: dict[str, Any] = json.loads(data.partition(b"\n")[0])
    return found


def has_all_of(ours: bytes, literal: bytes) -> None:
    """See that a line says at least what version 1 said, and that its payload is the same."""
    old, new = header(literal), header(ours)
    assert {k: new.get(k) for k in old} == old
    assert ours.partition(b"\n")[2] == literal.partition(b"\n")[2]


def test_a_worker_of_version_1_runs_a_task_for_our_controller(controller: Any) -> None:
    side, roster = controller
    has_all_of(side.hears(HELLO), WELCOME)
    has_all_of(side.hears(PROOF), RESUME)
    side.hears(INVENTORY)
    (known,) = roster
    side.transport.clear()
    told: list[Any] = []
    task = a_task(b"print(6*7)", stdin=b"in")
    known.link.run("t.1", task, lambda: told.append("started")).addCallback(told.append)
    has_all_of(side.transport.value(), RUN)
    pieces: list[Any] = []
    assert known.link.watch("t.1", lambda *piece: pieces.append(piece))
    assert side.hears(STARTED) == b"", "version 1 has no Watch"
    has_all_of(side.hears(PING), PONG)
    has_all_of(side.hears(RESULT), ACK)
    assert told[0] == "started"
    assert (told[1].outcome, told[1].stdout) == (Outcome.SUCCESS, b"42\n")
    assert pieces == [("stdout", 0, b"42\n")], "what there is to see comes with the result"


@pytest.mark.parametrize("resumes", [True, False])
def test_our_worker_runs_a_task_for_a_controller_of_version_1(worker: Any, resumes: bool) -> None:
    side, sandbox, factory = worker
    assert 1 in header(side.transport.value())["versions"]
    has_all_of(side.hears(WELCOME), PROOF)
    if resumes:
        has_all_of(side.hears(RESUME), INVENTORY)
    assert side.hears(RUN) == b""
    (job,) = sandbox.jobs
    assert (job.job.code, job.job.stdin) == (b"print(6*7)", b"in")
    side.transport.clear()
    job.started()
    has_all_of(side.transport.value(), STARTED)
    side.transport.clear()
    job.write(b"42\n")
    side.clock.advance(1)
    assert side.transport.value() == b"", "version 1 has no Output"
    job.end()
    has_all_of(side.transport.value(), RESULT)
    has_all_of(side.hears(PING), PONG)
    assert side.hears(ACK) == b""
    assert factory.settled


def test_verbs_of_version_2_are_unknown_on_a_link_of_version_1(worker: Any) -> None:
    side, _, _ = worker
    side.hears(WELCOME)
    side.hears(RESUME)
    answer = side.hears(b'{"verb":"Watch","attempt":"t.1"}\n')
    assert header(answer) == {"verb": "Error", "reason": "unknown verb 'Watch'"}


@pytest.mark.parametrize(("offered", "chosen"), [("[1]", 1), ("[1,2]", 2), ("[2,3]", 2)])
def test_the_controller_chooses_the_highest_common_version(
    controller: Any, offered: str, chosen: int
) -> None:
    side, _ = controller
    welcome = header(side.hears(HELLO.replace(b"[1]", offered.encode())))
    assert (welcome["verb"], welcome["version"]) == ("Welcome", chosen)
    assert side.protocol.version == chosen


def test_a_worker_without_a_common_version_is_told_so(controller: Any) -> None:
    side, roster = controller
    answer = side.hears(HELLO.replace(b"[1]", b"[3]"))
    assert header(answer) == {
        "verb": "Error",
        "reason": "no common version: the peer speaks [3], this side [1, 2]",
    }
    assert side.protocol.closing
    assert not list(roster)


def test_a_controller_that_chose_what_was_not_offered_is_told_so(worker: Any) -> None:
    side, _, _ = worker
    answer = side.hears(WELCOME.replace(b'"version":1', b'"version":3'))
    assert header(answer) == {"verb": "Error", "reason": "version 3 was not offered"}


def test_the_version_is_covered_by_the_proofs(worker: Any) -> None:
    side, _, _ = worker
    answer = side.hears(WELCOME.replace(b'"version":1', b'"version":2'))
    assert header(answer) == {"verb": "Error", "reason": "the controller's proof is wrong"}
