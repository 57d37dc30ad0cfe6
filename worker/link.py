"""The worker's side of a link: it listens, proves itself, runs what a proven controller asks."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from runyard.protocols.errors import ProtocolError, Refused
from runyard.protocols.ids import new_token
from runyard.protocols.lines import MessageReceiver
from runyard.protocols.messages import (
    FROM_CONTROLLER,
    VERSIONS,
    Ack,
    Cancel,
    Drain,
    Hello,
    Proof,
    Run,
    Started,
    Welcome,
)
from runyard.protocols.messages import Refused as RefusedMessage
from runyard.protocols.proofs import Handshake, controller_proven, worker_proof
from runyard.protocols.tasks import STOP_REASONS, Ended, Reason
from runyard.worker.executor import Executor
from runyard.worker.translate import job_of, result_of
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

MAX_EARLY_CANCELS = 64

log = Logger()


@define(frozen=True)
class Credentials:
    """What a worker knows: the controller's public key and the fleet's secret."""

    controller_key: Ed25519PublicKey
    fleet_secret: bytes = field(repr=False)


@define(frozen=True)
class Identity:
    """Who this worker is; `boot` is new at each start."""

    name: str
    boot: str


class ControllerLink(MessageReceiver):
    """One connection from a controller."""

    peer_sends = FROM_CONTROLLER

    def __init__(self, server: WorkerFactory) -> None:
        super().__init__(server.clock)
        self._server = server
        self._nonce = new_token()
        self._attempts: set[str] = set()
        self._unacknowledged: set[str] = set()
        self._early_cancels: dict[str, Reason] = {}

    @property
    def settled(self) -> bool:
        """Whether every result has been acknowledged."""
        return not self._attempts and not self._unacknowledged

    def connectionMade(self) -> None:
        """Greet."""
        super().connectionMade()
        executor, identity = self._server.executor, self._server.identity
        hello = Hello(
            versions=list(VERSIONS), name=identity.name, boot=identity.boot, slots=executor.slots,
            isolation=executor.sandbox.isolation, runtimes=list(executor.sandbox.runtimes),
            nonce=self._nonce,
        )  # fmt: skip
        self.send(hello)

    def on_welcome(self, message: Welcome) -> None:
        """Check the controller's proof and give ours."""
        if self.proven:
            raise ProtocolError("Welcome comes once")
        if message.version not in VERSIONS:
            raise ProtocolError(f"version {message.version} was not offered")
        identity, credentials = self._server.identity, self._server.credentials
        shake = Handshake(
            message.version, identity.name, identity.boot, message.name, self._nonce, message.nonce
        )
        if not controller_proven(credentials.controller_key, shake, message.proof):
            raise ProtocolError("the controller's proof is wrong")
        self.send(Proof(proof=worker_proof(credentials.fleet_secret, shake)))
        self.prove(message.heartbeat, message.silence)
        self._server.link_up(self)

    def on_run(self, message: Run) -> None:
        """Start an attempt, or say why not."""
        attempt = message.attempt
        early = self._early_cancels.pop(attempt, None)
        try:
            if early is not None:
                raise Refused("it was cancelled before it arrived")
            self._server.executor.execute(
                job_of(message),
                lambda: self.send(Started(attempt=attempt)),
                lambda ended: self._ended(attempt, ended),
            )
        except Refused as error:
            self.send(RefusedMessage(attempt=attempt, reason=str(error)[:512]))
            return
        self._attempts.add(attempt)

    def on_cancel(self, message: Cancel) -> None:
        """End an attempt; one that is still on its way here is refused when it comes."""
        if message.reason not in STOP_REASONS:
            raise ProtocolError(f"{message.reason[:32]!r} is no reason to cancel")
        reason = Reason(message.reason)
        if message.attempt in self._attempts:
            self._server.executor.stop(message.attempt, reason)
        elif message.attempt not in self._unacknowledged:
            self._early_cancels[message.attempt] = reason
            if len(self._early_cancels) > MAX_EARLY_CANCELS:
                del self._early_cancels[next(iter(self._early_cancels))]

    def on_ack(self, message: Ack) -> None:
        """Forget a result."""
        self._unacknowledged.discard(message.attempt)
        self._server.progress()

    def on_drain(self, message: Drain) -> None:
        """Take nothing new."""
        self._server.drain(message.leave)

    def link_lost(self, why: str) -> None:
        """End what ran for this controller: without its link nobody would take the results."""
        attempts, self._attempts = self._attempts, set()
        for attempt in attempts:
            self._server.executor.stop(attempt, Reason.HUNG_UP)
        self._unacknowledged.clear()
        self._server.link_down(self, why)

    def _ended(self, attempt: str, ended: Ended) -> None:
        if attempt in self._attempts:
            self._attempts.discard(attempt)
            self._unacknowledged.add(attempt)
            self.send(result_of(attempt, ended))
        self._server.progress()


class WorkerFactory(Factory):
    """Accepts controllers; they share the executor's slots."""

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        executor: Executor,
        identity: Identity,
        credentials: Credentials,
        leave: Callable[[], None],
        links_changed: Callable[[int], None],
    ) -> None:
        self.clock = clock
        self.executor = executor
        self.identity = identity
        self.credentials = credentials
        self.links: set[ControllerLink] = set()
        self._proven: set[ControllerLink] = set()
        self._leave = leave
        self._leaving = False
        self._links_changed = links_changed
        self._waiters: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> ControllerLink:
        """Make the protocol of a new connection."""
        link = ControllerLink(self)
        self.links.add(link)
        return link

    @property
    def settled(self) -> bool:
        """Whether nothing runs and every result has been acknowledged."""
        return not self.executor.in_use and all(link.settled for link in self._proven)

    def link_up(self, link: ControllerLink) -> None:
        """A controller has proven itself."""
        self._proven.add(link)
        log.info("a controller is connected")
        if self.executor.draining:
            link.send(Drain())
        self._links_changed(len(self._proven))

    def link_down(self, link: ControllerLink, why: str) -> None:
        """A connection ended."""
        self.links.discard(link)
        if link in self._proven:
            self._proven.discard(link)
            log.info("a controller's link ended: {why}", why=why)
            self._links_changed(len(self._proven))
        self.progress()

    def drain(self, leave: bool) -> None:
        """Take nothing new; with `leave`, end this process once idle."""
        if not self.executor.draining:
            self.executor.draining = True
            for link in self._proven:
                link.send(Drain())
        self._leaving = self._leaving or leave
        self.progress()

    def when_settled(self) -> Deferred[None]:
        """Fire when nothing runs and every result has been acknowledged."""
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        self.progress()
        return waiter

    def progress(self) -> None:
        """Look whether nothing is left to do: tell who waits for that, and leave if asked to."""
        if not self.settled:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)
        if self._leaving:
            self._leaving = False
            self._leave()
