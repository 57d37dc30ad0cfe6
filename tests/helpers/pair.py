"""Both ends of a link, the real classes, back to back in memory."""

from __future__ import annotations

from typing import Any

from fakes import KEY, SECRET, FakeSandbox, a_task
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump, connect

from runyard.protocols.tasks import Task
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
