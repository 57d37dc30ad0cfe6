"""A whole fleet in memory, on clocks: both daemons' real classes, a network that misbehaves."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

from fakes import KEY, SECRET
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from wires import Wire, drain

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


class ModelJob:
    """A process in a slot; its lease is the slot's own, which no frozen worker stops."""

    def __init__(self, sandbox: ModelSandbox, job: Job, now: float) -> None:
        self.job = job
        self.done: Deferred[Ending] = Deferred()
        self.running = True
        self.lease_until = now + job.lease
        self._sandbox = sandbox

    @property
    def host(self) -> Host:
        return self._sandbox.host

    @property
    def attempt(self) -> str:
        return self.job.attempt

    @property
    def task(self) -> str:
        return self.attempt.partition(".")[0]

    def kill(self) -> None:
        self.end(KILLED)

    def renew(self, seconds: float) -> None:
        self.lease_until = self.host.fleet.now + seconds

    def watch(self, grown: Any) -> None: ...

    def output(self, stream: str, offset: int, most: int) -> tuple[bytes, int]:
        return b"", 0

    def trace(self) -> None: ...

    def end(self, status: int = 0, *, forsaken: bool = False) -> None:
        """Its processes are gone now; the worker hears of it when it is awake."""
        if self.running:
            self.running = False
            stdout = self.job.attempt.encode() if status == 0 else b""
            ending = Ending(
                status, stdout, b"", False, False, None, 0, 1.0, 1.0, 1, forsaken=forsaken
            )
            due = self.host.fleet.now + self.host.confirm_s
            self._sandbox.endings.append((due, self, ending))


class ModelSandbox:
    isolation: str = "none"
    runtimes: tuple[str, ...] = ("python",)
    network: bool = False

    def __init__(self, host: Host) -> None:
        self.host = host
        self.jobs: list[ModelJob] = []
        self.endings: deque[tuple[float, ModelJob, Ending]] = deque()

    def start(self) -> None: ...

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def run(self, job: Job, started: Any) -> ModelJob:
        busy = sum(not each.done.called for each in self.jobs)
        if busy >= self.host.slots:
            raise SandboxError("no slot is ready")
        self.host.fleet.starting(job.attempt)
        made = ModelJob(self, job, self.host.fleet.now)
        self.jobs.append(made)
        started()
        return made


class Host:
    """A worker's machine.

    With `slot_leases` its slots hold the leases, as they must where the worker is frozen; without,
    the worker itself has to, so that each of the two guards is seen to be enough where it must be.
    """

    def __init__(self, fleet: Fleet, name: str, slots: int, *, slot_leases: bool) -> None:
        self.fleet = fleet
        self.name = name
        self.slots = slots
        self.slot_leases = slot_leases
        self.frozen = False
        self.confirm_s = 0.0
        self.old_bytes_wait = False
        self.blocked_in = self.blocked_out = False
        self.wire: Wire | None = None
        self.old_wires: list[Wire] = []
        self.meet_scheduler()
        self.boot()

    def meet_scheduler(self) -> None:
        """A scheduler's process has started, and will dial."""
        fleet, endpoint = self.fleet, None
        self.link = WorkerLink(
            fleet.clock, cast(Any, endpoint), f"unix:{self.name}", fleet.settings, fleet.roster,
            fleet.known,
        )  # fmt: skip
        if self.wire is not None:
            # The one that held the other end is gone; what it has sent may still arrive.
            self.wire.client.closing = self.wire.client.lost = True

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
        for wire in [*self.old_wires, *([self.wire] if self.wire else [])]:
            # Nobody reads what was under way, and the scheduler hears of the end when it may.
            wire.server.closing = wire.server.lost = True
            wire.client.inbox.clear()
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
            late = self.old_bytes_wait and wire is not self.wire
            if not (self.blocked_in or self.frozen or late):
                moved |= drain(wire.server)
            if not self.blocked_out:
                moved |= drain(wire.client)
        self.old_wires = [wire for wire in self.old_wires if not wire.over]
        while self.sandbox.endings and not self.frozen:
            due, job, ending = self.sandbox.endings[0]
            if due > self.fleet.now:
                break
            self.sandbox.endings.popleft()
            job.done.callback(ending)
            moved = True
        return moved

    def thaw(self, *, input_first: bool) -> None:
        """It runs on, and sees first what has come meanwhile, or first what time it is."""
        self.frozen = False
        if input_first:
            self.clock.rightNow = self.fleet.now
            self.deliver()
        self.pass_time()

    @property
    def well(self) -> bool:
        """Whether nothing keeps it and the scheduler from knowing all of each other."""
        hindered = self.frozen or self.blocked_in or self.blocked_out
        return not hindered and self.wire is not None and self.wire.open

    def unconfirmed(self) -> set[str]:
        """The attempts whose processes are gone, of which the worker has not heard yet."""
        return {job.attempt for _, job, _ in self.sandbox.endings}

    def waited_for(self) -> set[str]:
        """The attempts that the scheduler believes to be here."""
        session = self.link._session
        return set(session._pending) if session is not None else set()

    def pass_time(self) -> None:
        """The slots' leases, then the worker's own clock if it is awake."""
        for job in self.jobs():
            if self.slot_leases and self.fleet.now >= job.lease_until:
                job.end(KILLED, forsaken=True)
        if not self.frozen:
            self.clock.advance(self.fleet.now - self.clock.seconds())


class Fleet:
    """A controller and its hosts."""

    def __init__(self, slots: int = 4) -> None:
        self.now = 0.0
        self.starts: list[str] = []
        self.clashes: list[tuple[str, str]] = []
        self.settings = LinkSettings("scheduler", KEY, SECRET, 5.0, 15.0)
        self.boot()
        self.hosts: list[Host] = []
        self.hosts = [
            Host(self, "w0", slots, slot_leases=True),
            Host(self, "w1", slots, slot_leases=False),
        ]
        self.settle()

    def boot(self) -> None:
        """The scheduler's process starts; whatever an earlier one knew is gone."""
        self.clock = Clock()
        self.clock.rightNow = self.now
        self.roster = Roster(self.clock)
        self.known = KnownWorkers(self.clock, self.settings.leases)
        self.tickets = Tickets(self.clock.seconds, 1e9, 10**6, 1 << 40)
        self.dispatcher = Dispatcher(
            self.clock, self.tickets, Backlog(1000, 1 << 30), self.roster,
            Settings(start_timeout=1e6, timing=Timing()), luck=lambda: 0.5,
        )  # fmt: skip

    def restart_scheduler(self) -> None:
        """Kill the scheduler's process and start another."""
        self.boot()
        for host in self.hosts:
            host.meet_scheduler()

    def starting(self, attempt: str) -> None:
        """Note a start, and whatever else of its task runs at that moment."""
        self.starts.append(attempt)
        task = attempt.partition(".")[0]
        self.clashes += [(job.attempt, attempt) for job in self.jobs() if job.task == task]

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
