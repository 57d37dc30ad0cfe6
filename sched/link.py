"""The controller's side of a link: it dials a worker, both prove themselves, attempts go out."""

from __future__ import annotations

import random

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.application.internet import backoffPolicy
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from runyard.daemon.tls import binding
from runyard.protocols.errors import ProtocolError
from runyard.protocols.ids import new_token
from runyard.protocols.lines import MessageReceiver
from runyard.protocols.messages import (
    FROM_WORKER,
    VERSIONS,
    Ack,
    Drain,
    Hello,
    Inventory,
    Ping,
    Proof,
    Result,
    Started,
    Welcome,
)
from runyard.protocols.messages import Refused as RefusedMessage
from runyard.protocols.proofs import Handshake, controller_proof, worker_proven
from runyard.sched.dialler import Dialler
from runyard.sched.roster import Roster, Worker
from runyard.sched.session import WorkerSession
from runyard.sched.translate import ended_of

DIAL_S = 0.05
DIAL_MOST_S = 2.0
DIAL_TWIN_S = 15.0

log = Logger()


@frozen
class LinkSettings:
    """What every link of this controller shares; seconds for heartbeat and silence."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)
    fleet_secret: bytes = field(repr=False)
    heartbeat: float = 5.0
    silence: float = 15.0
    lease: float = 10.0

    @property
    def hold(self) -> float:
        """Seconds from a link's end after which its worker has surely ended what it ran.

        Its slots hold each attempt's lease from our last sign of life, even where the worker itself
        is frozen; a quarter is added for clocks that differ.
        """
        return self.lease * 1.25


class WorkerConnection(MessageReceiver):
    """One connection to a worker."""

    peer_sends = FROM_WORKER

    def __init__(self, link: WorkerLink) -> None:
        super().__init__(link.clock)
        self.session: WorkerSession | None = None
        self._link = link
        self._nonce = new_token()
        self._hello: Hello | None = None
        self._shake: Handshake | None = None

    def on_hello(self, message: Hello) -> None:
        """Choose a version and prove ourselves."""
        common = set(message.versions) & set(VERSIONS)
        if self._hello is not None or not common:
            raise ProtocolError(f"one Hello with a version of {list(VERSIONS)} is expected")
        if self._link.is_twin(message):
            self.close()
            return
        settings = self._link.settings
        self._hello = message
        self._shake = Handshake(
            max(common), message.name, message.boot, settings.name, message.nonce, self._nonce,
            binding(self.transport),
        )  # fmt: skip
        welcome = Welcome(
            version=max(common), name=settings.name, heartbeat=settings.heartbeat,
            silence=settings.silence, nonce=self._nonce,
            proof=controller_proof(settings.key, self._shake),
        )  # fmt: skip
        self.send(welcome)

    def on_proof(self, message: Proof) -> None:
        """Check the worker's proof; from here on it gets work."""
        if self._shake is None or self._hello is None or self.proven:
            raise ProtocolError("Proof comes once, after Welcome")
        settings = self._link.settings
        if not worker_proven(settings.fleet_secret, self._shake, message.proof):
            raise ProtocolError("the worker's proof is wrong")
        self._link.check(self._hello)
        self.prove(settings.heartbeat, settings.silence)
        self.session = self._link.proven(self, self._hello)

    def on_ping(self, message: Ping) -> None:
        """Note the worker's number, and answer."""
        super().on_ping(message)
        if self.session is not None:
            self.session.beat(message.beat)

    def on_inventory(self, message: Inventory) -> None:
        """What the worker still has of what we wait for; from here on it gets work."""
        if self.session is not None:
            self.session.inventory({*message.running, *message.finished})
            self._link.ready(self.session)

    def on_started(self, message: Started) -> None:
        """An attempt's process runs."""
        if self.session is not None:
            self.session.started(message.attempt)

    def on_refused(self, message: RefusedMessage) -> None:
        """An attempt was not taken."""
        if self.session is not None:
            self.session.refused(message.attempt, message.reason)

    def on_result(self, message: Result) -> None:
        """An attempt has ended; a result that nobody waits for is acknowledged as discarded."""
        if self.session is None:
            return
        taken = self.session.ended(message.attempt, ended_of(message))
        self.send(Ack(attempt=message.attempt, discarded=not taken))
        if not taken:
            log.warn(
                "a result for attempt {attempt}, which is not waited for, was discarded",
                attempt=message.attempt,
            )

    def on_drain(self, message: Drain) -> None:
        """The worker takes nothing new."""
        self._link.draining()

    def busy_changed(self) -> None:
        """A worker that does not read gets nothing new until it does."""
        self._link.room_changed()

    def link_lost(self, why: str) -> None:
        """The attempts are in doubt."""
        if self.session is not None:
            self._link.unlinked(self, why)
        else:
            self._link.fruitless()


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
    ) -> None:
        self.clock = clock
        self.address = address
        self.settings = settings
        self.worker: Worker | None = None
        self._roster = roster
        self._session: WorkerSession | None = None
        self._fruitless = 0
        self._twin = False
        self._newest: WorkerConnection | None = None
        self._backoff = backoffPolicy(DIAL_S, DIAL_MOST_S, factor=1.5, jitter=_jitter)
        self.service = Dialler(clock, endpoint, self, self.pause, self.hang_up)

    def pause(self, failures: int) -> float:
        """Give the seconds until the next dial; one that proves nothing is a failure too."""
        if self._twin:
            return DIAL_TWIN_S
        return self._backoff(max(failures, self._fruitless))

    def buildProtocol(self, addr: IAddress | None) -> WorkerConnection:
        """Make the protocol of a new connection."""
        self._newest = WorkerConnection(self)
        return self._newest

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._newest is not None:
            self._newest.close()

    def is_twin(self, hello: Hello) -> bool:
        """Whether this process is linked by another of its addresses: this one waits its turn."""
        other = self._roster.workers.get(hello.name)
        twin = other is not None and other is not self.worker and other.boot == hello.boot
        if twin and not self._twin and other is not None:
            log.info(
                "{address} is another address of worker {name}, which is linked at {other}",
                address=self.address, name=other.name, other=other.address,
            )  # fmt: skip
        self._twin = twin
        return twin

    @property
    def linked(self) -> Worker | None:
        """The worker that is linked here just now."""
        session = self._session
        return self.worker if session is not None and session.connection is not None else None

    def check(self, hello: Hello) -> None:
        """See that no other worker of this name is linked.

        Raises:
            ProtocolError: there is one.
        """
        other = self._roster.workers.get(hello.name)
        if other is not None and other is not self.worker:
            raise ProtocolError(f"a worker named {hello.name!r} is linked already")

    def proven(self, connection: WorkerConnection, hello: Hello) -> WorkerSession:
        """A process has proven itself: the one we know, or another, which proves that one dead."""
        session = self._session
        self._fruitless = 0
        if session is None or session.boot != hello.boot:
            self.dead("another process answers at its address")
            session = WorkerSession(self.clock, hello.boot, self.settings.hold, self.settings.lease)
            self._session = session
            self.worker = Worker(
                hello.name, hello.boot, self.address, hello.slots, hello.isolation,
                tuple(hello.runtimes), session,
            )  # fmt: skip
        elif self.worker is not None:
            self.worker.draining = False
        session.linked(connection)
        return session

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
        self._roster.up(worker)

    def unlinked(self, connection: WorkerConnection, why: str) -> None:
        """A connection of the present process ended."""
        session, worker = connection.session, self.worker
        if session is None or session.connection is not connection:
            return
        if worker is not None and session is self._session:
            log.info("worker {name}: link lost: {why}", name=worker.name, why=why)
            self._roster.down(worker)
        session.unlinked(connection, why)

    def fruitless(self) -> None:
        """A connection ended without a proof."""
        self._fruitless += 1

    def dead(self, why: str) -> None:
        """The process that was linked here last is proven dead."""
        if self._session is not None:
            self._session.dead(why)

    def draining(self) -> None:
        """The worker takes nothing new."""
        if self.worker is not None:
            self.worker.draining = True
            self.room_changed()

    def room_changed(self) -> None:
        """Look again whether the worker has room."""
        if self.worker is not None:
            self._roster.refresh(self.worker)
