"""Both ends of a link, the real classes, back to back in memory."""

from __future__ import annotations

from typing import Any

from fakes import KEY, SECRET, FakeSandbox, a_task
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump, connect

from runyard.protocols.tasks import Task
from runyard.sched.connection import WorkerConnection
from runyard.sched.known import KnownWorkers
from runyard.sched.link import LinkSettings, WorkerLink
from runyard.sched.roster import Roster, Worker
from runyard.worker.executor import Executor
from runyard.worker.link import ControllerLink, Credentials, Identity, WorkerFactory

LEASE_S = 10.0
HOLD_S = 12.5


class Pair:
    """A controller and a worker with a fake sandbox, connected by a pump."""

    def __init__(
        self,
        slots: int = 2,
        secret: bytes = SECRET,
        name: str = "w1",
        beside: Pair | None = None,
        boot: str = "boot-1",
        address: str = "unix:w1",
        worker: Pair | None = None,
    ) -> None:
        """`beside` gives another's controller side, `worker` another's worker side."""
        self.clock: Clock = beside.clock if beside else Clock()
        self.sandbox: FakeSandbox = worker.sandbox if worker else FakeSandbox()
        self.executor: Executor = (
            worker.executor if worker else Executor(self.clock, self.sandbox, slots)
        )
        self.left: list[bool] = []
        credentials = Credentials(KEY.public_key(), secret)
        self.factory: WorkerFactory = worker.factory if worker else WorkerFactory(
            self.clock, self.executor, Identity(name, boot), credentials,
            lambda: self.left.append(True), lambda n: None,
        )  # fmt: skip
        self.roster: Roster = beside.roster if beside else Roster(self.clock)
        settings = LinkSettings("scheduler", KEY, SECRET, 5.0, 15.0)
        self.known: KnownWorkers = (
            beside.known if beside else KnownWorkers(self.clock, settings.leases)
        )
        endpoint: Any = None
        self.link = WorkerLink(self.clock, endpoint, address, settings, self.roster, self.known)
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
