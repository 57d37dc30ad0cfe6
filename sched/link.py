"""The controller's side of a link: an address that is kept dialled, and what is linked there."""

from __future__ import annotations

import random

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.application.internet import backoffPolicy
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from runyard.protocols.messages import Hello
from runyard.sched.connection import WorkerConnection
from runyard.sched.dialler import Dialler
from runyard.sched.known import KnownWorkers
from runyard.sched.roster import Roster, Worker
from runyard.sched.session import Leases, WorkerSession

DIAL_S = 0.05
SPARE_S = 5.0
"""Pause between dials to an address of a worker that is linked by another."""

log = Logger()


@frozen
class LinkSettings:
    """What every link of this controller shares; seconds for heartbeat and silence."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)
    fleet_secret: bytes = field(repr=False)
    heartbeat: float = 5.0
    silence: float = 15.0
    leases: Leases = field(factory=Leases)


def _jitter() -> float:
    return random.random() * DIAL_S  # noqa: S311 (it spreads dials, it hides nothing)


class WorkerLink(Factory):
    """Keeps one address dialled, with a back-off that stays well below every lease.

    Attributes:
        worker: The worker process that was last linked here.
    """

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IStreamClientEndpoint,
        address: str,
        settings: LinkSettings,
        roster: Roster,
        known: KnownWorkers,
    ) -> None:
        self.clock = clock
        self.address = address
        self.settings = settings
        self.worker: Worker | None = None
        self._roster = roster
        self._known = known
        self._session: WorkerSession | None = None
        self._fruitless = 0
        self._spare = False
        self._newest: WorkerConnection | None = None
        most = settings.leases.redial()
        self._backoff = backoffPolicy(min(DIAL_S, most), most, factor=1.5, jitter=_jitter)
        self.service = Dialler(clock, endpoint, self, self.pause, self.hang_up, self.unanswered)

    def pause(self, failures: int) -> float:
        """Give the seconds until the next dial; one that proves nothing is a failure too."""
        if self._spare:
            return min(SPARE_S, self.settings.leases.waiting / 2)
        return self._backoff(max(failures, self._fruitless))

    def buildProtocol(self, addr: IAddress | None) -> WorkerConnection:
        """Make the protocol of a new connection."""
        self._newest = WorkerConnection(self)
        return self._newest

    def hang_up(self) -> None:
        """Nothing is dialled any more: close the connection, if there is one."""
        self._roster.unreachable.pop(self.address, None)
        if self._newest is not None:
            self._newest.close()

    def is_spare(self, hello: Hello) -> bool:
        """Whether this process is linked by another of its addresses: this one waits its turn."""
        other = self._known.linked_elsewhere(hello, self.address)
        if other is not None:
            self.spare(f"worker {hello.name} is linked by {other}")
        return other is not None

    def unanswered(self, why: str) -> None:
        """A dial failed."""
        self._roster.unreachable[self.address] = why

    @property
    def linked(self) -> Worker | None:
        """The worker that is linked here just now."""
        session, worker = self._session, self.worker
        here = worker is not None and worker.address == self.address
        return worker if here and session is not None and session.connection is not None else None

    def proven(self, hello: Hello) -> WorkerSession:
        """Give the session of the process that has proven itself.

        Raises:
            LinkedElsewhere: it is linked already, by another address.
            ProtocolError: another of its name is.
        """
        self.worker, self._session = self._known.admit(hello, self.address)
        self._fruitless, self._spare = 0, False
        return self._session

    def spare(self, why: str) -> None:
        """This address leads to a worker that is linked by another: it is kept as a spare one."""
        if not self._spare:
            log.info("{address} is a spare address: {why}", address=self.address, why=why)
        self._spare = True
        self._roster.unreachable.pop(self.address, None)

    def ready(self, session: WorkerSession) -> None:
        """Both sides agree on what runs: the worker takes work."""
        worker = self.worker
        if worker is None or session is not self._session:
            return
        log.info(
            "worker {name} at {address}: {slots} slots, isolation {isolation}, {count} running",
            name=worker.name, address=self.address, slots=worker.slots,
            isolation=worker.isolation, count=len(worker.running),
        )  # fmt: skip
        self._roster.unreachable.pop(self.address, None)
        self._roster.up(worker)

    def unlinked(self, connection: WorkerConnection, why: str) -> None:
        """A connection of the present process ended."""
        session, worker = connection.session, self.worker
        if session is None or session.connection is not connection:
            return
        if worker is not None and session is self._session:
            log.info("worker {name}: link lost: {why}", name=worker.name, why=why)
            self._roster.unreachable[self.address] = why
            self._roster.down(worker)
        session.unlinked(connection, why)

    def fruitless(self, why: str) -> None:
        """A connection ended without a proof."""
        self._fruitless += 1
        if not self._spare:
            self._roster.unreachable[self.address] = why

    def dead(self, why: str) -> None:
        """The process that was linked here last is proven dead."""
        if self.worker is not None:
            self._known.dead(self.worker.name, self.address, why)

    def draining(self) -> None:
        """The worker takes nothing new."""
        if self.worker is not None:
            self.worker.draining = True
            self.room_changed()

    def room_changed(self) -> None:
        """Look again whether the worker has room."""
        if self.worker is not None:
            self._roster.refresh(self.worker)
