"""The controller's side of a link: it dials a worker, both prove themselves, attempts go out."""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from runyard.protocols.errors import LinkLost, ProtocolError, Refused
from runyard.protocols.ids import new_token
from runyard.protocols.lines import MessageReceiver
from runyard.protocols.messages import (
    FROM_WORKER,
    VERSIONS,
    Ack,
    Cancel,
    Drain,
    Hello,
    Proof,
    Result,
    Started,
    Welcome,
)
from runyard.protocols.messages import Refused as RefusedMessage
from runyard.protocols.proofs import Handshake, controller_proof, worker_proven
from runyard.protocols.tasks import Ended, Reason, Task
from runyard.sched.roster import Roster, Worker
from runyard.sched.translate import ended_of, run_of
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

DIAL_S = 0.05
DIAL_MOST_S = 2.0

log = Logger()


@frozen
class LinkSettings:
    """What every link of this controller shares; seconds for heartbeat and silence."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)
    fleet_secret: bytes = field(repr=False)
    heartbeat: float = 5.0
    silence: float = 15.0


@define(eq=False)
class _Pending:
    done: Deferred[Ended]
    started: Callable[[], None]


class WorkerConnection(MessageReceiver):
    """One connection to a worker. It is the roster's Runner for as long as it lives."""

    peer_sends = FROM_WORKER

    def __init__(self, link: WorkerLink) -> None:
        super().__init__(link.clock)
        self.worker: Worker | None = None
        self._link = link
        self._nonce = new_token()
        self._hello: Hello | None = None
        self._shake: Handshake | None = None
        self._pending: dict[str, _Pending] = {}

    def on_hello(self, message: Hello) -> None:
        """Choose a version and prove ourselves."""
        common = set(message.versions) & set(VERSIONS)
        if self._hello is not None or not common:
            raise ProtocolError(f"one Hello with a version of {list(VERSIONS)} is expected")
        settings = self._link.settings
        self._hello = message
        self._shake = Handshake(
            max(common), message.name, message.boot, settings.name, message.nonce, self._nonce
        )
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
        hello = self._hello
        if hello.name in self._link.roster.workers:
            raise ProtocolError(f"a worker named {hello.name!r} is linked already")
        self.prove(settings.heartbeat, settings.silence)
        self.worker = Worker(
            hello.name, hello.boot, self._link.address, hello.slots, hello.isolation,
            tuple(hello.runtimes), self,
        )  # fmt: skip
        log.info(
            "worker {name} at {address}: {slots} slots, isolation {isolation}",
            name=hello.name, address=self._link.address, slots=hello.slots,
            isolation=hello.isolation,
        )  # fmt: skip
        self._link.up(self.worker)

    def run(self, attempt: str, task: Task, started: Callable[[], None]) -> Deferred[Ended]:
        """Start an attempt: fires with its end, or fails with LinkLost or Refused."""
        done: Deferred[Ended] = Deferred()
        if self.closing:
            done.errback(Failure(LinkLost("the link is closing")))
            return done
        self.send(run_of(attempt, task))
        self._pending[attempt] = _Pending(done, started)
        self._room_changed()
        return done

    def cancel(self, attempt: str, reason: Reason) -> None:
        """Ask for the end of an attempt."""
        if attempt in self._pending:
            self.send(Cancel(attempt=attempt, reason=reason.value))

    def drain(self, *, leave: bool) -> None:
        """Ask the worker to take nothing new, and with `leave` to end once it is idle."""
        self.send(Drain(leave=leave))

    def on_started(self, message: Started) -> None:
        """An attempt's process runs."""
        pending = self._pending.get(message.attempt)
        if pending is not None:
            pending.started()

    def on_refused(self, message: RefusedMessage) -> None:
        """An attempt was not taken."""
        pending = self._pending.pop(message.attempt, None)
        if pending is not None:
            pending.done.errback(Failure(Refused(message.reason)))

    def on_result(self, message: Result) -> None:
        """An attempt has ended; a result that nobody waits for is acknowledged as discarded."""
        ended = ended_of(message)
        pending = self._pending.pop(message.attempt, None)
        self.send(Ack(attempt=message.attempt, discarded=pending is None))
        if pending is None:
            log.warn("a result for attempt {attempt}, which is not waited for, was discarded",
                     attempt=message.attempt)  # fmt: skip
        else:
            pending.done.callback(ended)

    def on_drain(self, message: Drain) -> None:
        """The worker takes nothing new."""
        if self.worker is not None:
            self.worker.draining = True
            self._room_changed()

    def busy_changed(self) -> None:
        """A worker that does not read gets nothing new until it does."""
        self._room_changed()

    def link_lost(self, why: str) -> None:
        """Give every attempt back to who waits for it."""
        if self.worker is not None:
            log.info("worker {name}: link lost: {why}", name=self.worker.name, why=why)
            self._link.down(self.worker)
        pending, self._pending = self._pending, {}
        for each in pending.values():
            each.done.errback(Failure(LinkLost(why)))

    def _room_changed(self) -> None:
        if self.worker is not None:
            self._link.roster.refresh(self.worker)


def _jitter() -> float:
    return random.random() * DIAL_S  # noqa: S311 (it spreads dials, it hides nothing)


class WorkerLink(Factory):
    """Keeps one address dialled, with a back-off that stays well below every lease."""

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        endpoint: IStreamClientEndpoint,
        address: str,
        settings: LinkSettings,
        roster: Roster,
        reborn: Callable[[str], None],
    ) -> None:
        self.clock = clock
        self.address = address
        self.settings = settings
        self.roster = roster
        self.boot: str | None = None
        self._reborn = reborn
        policy = backoffPolicy(DIAL_S, DIAL_MOST_S, factor=1.5, jitter=_jitter)
        self.service = ClientService(endpoint, self, retryPolicy=policy, clock=clock)

    def buildProtocol(self, addr: IAddress | None) -> WorkerConnection:
        """Make the protocol of a new connection."""
        return WorkerConnection(self)

    def up(self, worker: Worker) -> None:
        """The worker has proven itself; another boot at this address proves the last one dead."""
        if self.boot is not None and self.boot != worker.boot:
            self._reborn(self.boot)
        self.boot = worker.boot
        self.roster.up(worker)

    def down(self, worker: Worker) -> None:
        """The worker's link ended."""
        self.roster.down(worker)

    @property
    def worker(self) -> Worker | None:
        """The worker that is linked here now."""
        return next((each for each in self.roster if each.address == self.address), None)
