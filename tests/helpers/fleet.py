"""A whole fleet in memory, on clocks: both daemons' real classes, a network that misbehaves."""

from __future__ import annotations

from collections import deque
from typing import Any

from fakes import KEY, SECRET
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from runyard.protocols.ids import new_token
from runyard.sched.attempts import Timing
from runyard.sched.backlog import Backlog
from runyard.sched.dispatcher import Dispatcher, Settings
from runyard.sched.known import KnownWorkers
from runyard.sched.link import LinkSettings, WorkerLink
from runyard.sched.roster import Roster
from runyard.sched.tickets import Tickets
from runyard.worker.executor import Executor
from runyard.worker.link import Credentials, Identity, WorkerFactory
from runyard.worker.sandbox.interface import Ending, Job, SandboxError

STEP_S = 0.5
KILLED = 9


class End:
    """One end of a connection: a transport whose bytes arrive when the network lets them."""

    def __init__(self) -> None:
        self.protocol: Any = None
        self.peer: End
        self.inbox: deque[bytes] = deque()
        self.closing = self.lost = False

    @property
    def disconnecting(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        if not self.closing and not self.lost:
            self.peer.inbox.append(data)

    def loseConnection(self) -> None:
        self.closing = True

    def abortConnection(self) -> None:
        self.closing = True
        self.lose(ConnectionLost())

    def lose(self, error: Exception) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.connectionLost(Failure(error))

    def getPeer(self) -> str:
        return "the fleet's network"

    def registerProducer(self, producer: object, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...


class Wire:
    """A connection between the controller and a host."""

    def __init__(self, client: Any, server: Any) -> None:
        self.client, self.server = End(), End()
        self.client.peer, self.server.peer = self.server, self.client
        self.client.protocol, self.server.protocol = client, server
        client.makeConnection(self.client)
        server.makeConnection(self.server)

    @property
    def over(self) -> bool:
        return self.client.lost and self.server.lost


class ModelJob:
    """A process in a slot; its lease is the slot's own, which no frozen worker stops."""

    def __init__(self, sandbox: ModelSandbox, job: Job, now: float) -> None:
        self.job = job
        self.done: Deferred[Ending] = Deferred()
        self.running = True
        self.lease_until = now + job.lease
        self._sandbox = sandbox

    def kill(self) -> None:
        self.end(KILLED)

    def renew(self, seconds: float) -> None:
        self.lease_until = self._sandbox.host.fleet.now + seconds

    def end(self, status: int = 0, *, forsaken: bool = False) -> None:
        """Its processes are gone now; the worker hears of it when it is awake."""
        if self.running:
            self.running = False
            stdout = self.job.attempt.encode() if status == 0 else b""
            ending = Ending(
                status, stdout, b"", False, False, None, 0, 1.0, 1.0, 1, forsaken=forsaken
            )
            self._sandbox.endings.append((self, ending))


class ModelSandbox:
    isolation: str = "none"
    runtimes: tuple[str, ...] = ("python",)

    def __init__(self, host: Host) -> None:
        self.host = host
        self.jobs: list[ModelJob] = []
        self.endings: deque[tuple[ModelJob, Ending]] = deque()

    def start(self) -> None: ...

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def run(self, job: Job, started: Any) -> ModelJob:
        busy = sum(not each.done.called for each in self.jobs)
        if busy >= self.host.slots:
            raise SandboxError("no slot is ready")
        made = ModelJob(self, job, self.host.fleet.now)
        self.jobs.append(made)
        self.host.fleet.starts.append(job.attempt)
        started()
        return made


class Host:
    """A worker's machine."""

    def __init__(self, fleet: Fleet, name: str, slots: int) -> None:
        self.fleet = fleet
        self.name = name
        self.slots = slots
        self.frozen = False
        self.blocked_in = self.blocked_out = False
        self.wire: Wire | None = None
        self.old_wires: list[Wire] = []
        endpoint: Any = None
        self.link = WorkerLink(
            fleet.clock, endpoint, f"unix:{name}", fleet.settings, fleet.roster,
            fleet.known,
        )  # fmt: skip
        self.boot()

    def boot(self) -> None:
        """The worker process starts; whatever ran before is gone (the slots end with it)."""
        for job in self.jobs() if hasattr(self, "sandbox") else []:
            job.running = False
        self.clock = Clock()
        self.clock.rightNow = self.fleet.now
        self.sandbox = ModelSandbox(self)
        executor = Executor(self.clock, self.sandbox, self.slots)
        self.factory = WorkerFactory(
            self.clock, executor, Identity(self.name, new_token()),
            Credentials(KEY.public_key(), SECRET), lambda: None, lambda count: None,
        )  # fmt: skip
        self.frozen = False

    def restart(self) -> None:
        """Kill the worker process and start another."""
        self.cut()
        self.boot()

    def jobs(self) -> list[ModelJob]:
        """List the jobs whose processes live."""
        return [job for job in self.sandbox.jobs if job.running]

    def cut(self) -> None:
        """The connection breaks; each side learns of it when the network lets it."""
        if self.wire is not None:
            self.wire.client.closing = self.wire.server.closing = True
            self.wire.client.inbox.clear()
            self.wire.server.inbox.clear()

    def dial(self) -> None:
        """The controller dials when it has no connection and the host answers."""
        if self.wire is not None and self.wire.client.lost:
            self.old_wires.append(self.wire)
            self.wire = None
        if self.wire is None and not (self.frozen or self.blocked_in or self.blocked_out):
            client = self.link.buildProtocol(None)
            self.wire = Wire(client, self.factory.buildProtocol(None))

    def deliver(self) -> bool:
        """Move what the network and the processes let through; whether anything moved."""
        moved = False
        for wire in [*self.old_wires, *([self.wire] if self.wire else [])]:
            if not (self.blocked_in or self.frozen):
                moved |= _drain(wire.server)
            if not self.blocked_out:
                moved |= _drain(wire.client)
        self.old_wires = [wire for wire in self.old_wires if not wire.over]
        while self.sandbox.endings and not self.frozen:
            job, ending = self.sandbox.endings.popleft()
            job.done.callback(ending)
            moved = True
        return moved

    def pass_time(self) -> None:
        """The slots' leases, then the worker's own clock if it is awake."""
        for job in self.jobs():
            if self.fleet.now >= job.lease_until:
                job.end(KILLED, forsaken=True)
        if not self.frozen:
            self.clock.advance(self.fleet.now - self.clock.seconds())


def _drain(end: End) -> bool:
    moved = False
    while end.inbox and not end.lost:
        end.protocol.dataReceived(end.inbox.popleft())
        moved = True
    if not end.lost and ((end.peer.closing and not end.inbox) or (end.closing and not end.inbox)):
        end.lose(ConnectionDone())
        moved = True
    return moved


class Fleet:
    """A controller and its hosts."""

    def __init__(self, hosts: int = 2, slots: int = 2) -> None:
        self.now = 0.0
        self.clock = Clock()
        self.starts: list[str] = []
        self.roster = Roster(self.clock)
        self.settings = LinkSettings("scheduler", KEY, SECRET, 5.0, 15.0)
        self.known = KnownWorkers(self.clock, self.settings.leases)
        self.tickets = Tickets(self.clock.seconds, 1e9, 10**6, 1 << 40)
        self.dispatcher = Dispatcher(
            self.clock, self.tickets, Backlog(1000, 1 << 30), self.roster,
            Settings(start_timeout=1e6, timing=Timing()), luck=lambda: 0.5,
        )  # fmt: skip
        self.hosts = [Host(self, f"w{number}", slots) for number in range(hosts)]
        self.settle()

    def settle(self) -> None:
        """Let everything that can move now move."""
        for _ in range(1000):
            for host in self.hosts:
                host.dial()
            moved = [host.deliver() for host in self.hosts]
            if not any(moved):
                return
        raise AssertionError("the fleet never comes to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass in small steps."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + STEP_S)
            for host in self.hosts:
                host.pass_time()
            self.clock.advance(self.now - self.clock.seconds())
            self.settle()

    def jobs(self) -> list[ModelJob]:
        """List the jobs whose processes live, on all hosts."""
        return [job for host in self.hosts for job in host.jobs()]
