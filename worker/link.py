"""The worker's side of a link: it listens, proves itself, runs what a proven controller asks."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from runyard.daemon.tls import binding
from runyard.protocols.errors import ProtocolError
from runyard.protocols.ids import new_token
from runyard.protocols.lines import MessageReceiver
from runyard.protocols.messages import (
    Ack,
    Cancel,
    Drain,
    Hello,
    Ping,
    Pong,
    Proof,
    Resume,
    Run,
    Unwatch,
    Watch,
    Welcome,
)
from runyard.protocols.proofs import Handshake, controller_proven, worker_proof
from runyard.protocols.tasks import STOP_REASONS, Reason
from runyard.protocols.verbs import FROM_CONTROLLER, VERSIONS
from runyard.worker.executor import Executor
from runyard.worker.kept import KEEP_S
from runyard.worker.session import Session

MOST_BEATS = 256

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
        self._session: Session | None = None
        self._controller = ""
        self._beat = 0
        self._beats: dict[int, float] = {}

    def connectionMade(self) -> None:
        """Greet."""
        super().connectionMade()
        executor, identity = self._server.executor, self._server.identity
        hello = Hello(
            versions=list(VERSIONS), name=identity.name, boot=identity.boot, slots=executor.slots,
            isolation=executor.sandbox.isolation, runtimes=list(executor.sandbox.runtimes),
            formats=executor.formats.names if executor.formats is not None else [],
            network=executor.sandbox.network, nonce=self._nonce, files=True,
        )  # fmt: skip
        self.send(hello)

    def on_welcome(self, message: Welcome) -> None:
        """Check the controller's proof and give ours."""
        if self.proven:
            raise ProtocolError("Welcome comes once")
        if message.version not in VERSIONS:
            raise ProtocolError(f"version {message.version} was not offered")
        self.version = message.version
        identity, credentials = self._server.identity, self._server.credentials
        shake = Handshake(
            message.version, identity.name, identity.boot, message.name, self._nonce,
            message.nonce, binding(self.transport),
        )  # fmt: skip
        if not controller_proven(credentials.controller_key, shake, message.proof):
            raise ProtocolError("the controller's proof is wrong")
        self.send(Proof(proof=worker_proof(credentials.fleet_secret, shake)))
        self.prove(message.heartbeat, message.silence)
        self._beats[0] = self.clock.seconds()
        self._controller = message.name
        self._server.link_up(self)

    def ping(self) -> None:
        """Ask for a sign of life, with a number to tell its moment by."""
        self._beat += 1
        self._beats[self._beat] = self.clock.seconds()
        if len(self._beats) > MOST_BEATS:
            del self._beats[min(self._beats)]
        self.send(Ping(beat=self._beat))

    def on_pong(self, message: Pong) -> None:
        """The controller was there when this Ping went out: earlier moments do not matter now."""
        if message.beat in self._beats:
            self._beats = {n: at for n, at in self._beats.items() if n >= message.beat}

    @property
    def alive_at(self) -> float:
        """A moment at which the controller was surely still there: of the last answered Ping."""
        return self._beats[min(self._beats)] if self._beats else self.clock.seconds()

    def moment(self, beat: int) -> float:
        """When a Ping went out that the controller has seen; one long forgotten is long ago."""
        return self._beats.get(beat, self.alive_at if beat > min(self._beats) else float("-inf"))

    @property
    def session(self) -> Session:
        """The controller's session: this link's from its Resume on.

        In version 1 any verb that needs it takes it over.
        """
        if self._session is None and self.version > 1:
            raise ProtocolError("Resume comes first")
        return self._session or self._take_over()

    def _take_over(self) -> Session:
        """Go on with the controller's session: an older link of it is closed."""
        if self._session is None:
            self._session = self._server.session(self._controller)
        self._session.linked(self)
        return self._session

    def on_run(self, message: Run) -> None:
        """Start an attempt, or say why not."""
        self.session.run(message, self.moment(message.beat))

    def on_cancel(self, message: Cancel) -> None:
        """End an attempt."""
        if message.reason not in STOP_REASONS:
            raise ProtocolError(f"{message.reason[:32]!r} is no reason to cancel")
        self.session.cancel(message.attempt, Reason(message.reason))

    def on_ack(self, message: Ack) -> None:
        """Forget a result."""
        self.session.acknowledge(message.attempt)

    def on_resume(self, message: Resume) -> None:
        """Tell what is still here of what the controller waits for."""
        self._take_over().resume(message.attempts)

    def on_watch(self, message: Watch) -> None:
        """Send an attempt's output as it comes."""
        self.session.watch(message)

    def on_unwatch(self, message: Unwatch) -> None:
        """Send it no more."""
        self.session.unwatch(message.attempt)

    def on_drain(self, message: Drain) -> None:
        """Take nothing new."""
        self._server.drain(message.leave)

    def busy_changed(self) -> None:
        """Where the link takes more again, output goes on."""
        if self._session is not None and not self.busy:
            self._session.room(self)

    def link_lost(self, why: str) -> None:
        """The attempts run on under their leases."""
        if self._session is not None:
            self._session.unlinked(self, self.alive_at)
        self._server.link_down(self, why)


class WorkerFactory(Factory):
    """Accepts controllers; they share the executor's slots.

    `keep` is for how many seconds a result waits for its Ack.
    """

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        executor: Executor,
        identity: Identity,
        credentials: Credentials,
        leave: Callable[[], None],
        links_changed: Callable[[int], None],
        keep: float = KEEP_S,
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
        self._keep = keep
        self._waiters: list[Deferred[None]] = []
        self._sessions: dict[str, Session] = {}

    def buildProtocol(self, addr: IAddress | None) -> ControllerLink:
        """Make the protocol of a new connection."""
        link = ControllerLink(self)
        self.links.add(link)
        return link

    @property
    def hosts(self) -> frozenset[str]:
        """The IP addresses of the controllers that are linked."""
        peers = (link.transport.getPeer() for link in self._proven if link.transport is not None)
        return frozenset(p.host for p in peers if isinstance(p, (IPv4Address, IPv6Address)))

    @property
    def unproven(self) -> int:
        """How many connections have not proven anything yet."""
        return len(self.links) - len(self._proven)

    def session(self, controller: str) -> Session:
        """Give a controller's session; it outlives its links while it holds anything."""
        if controller not in self._sessions:
            self._sessions[controller] = Session(
                self.clock, self.executor, self._keep, self.progress
            )
        return self._sessions[controller]

    @property
    def settled(self) -> bool:
        """Whether nothing runs and every result has been acknowledged."""
        idle = not self.executor.in_use
        return idle and all(session.settled for session in self._sessions.values())

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

    def greet_anew(self) -> None:
        """What this worker offers has changed: the links end, and begin with a new Hello."""
        for link in list(self._proven):
            link.close()

    def when_settled(self) -> Deferred[None]:
        """Fire when nothing runs and every result has been acknowledged."""
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        self.progress()
        return waiter

    def progress(self) -> None:
        """Look what is left to do, forget who has left nothing; leave if asked to and idle."""
        sessions = self._sessions.items()
        self._sessions = {name: each for name, each in sessions if not each.empty}
        if not self.settled:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)
        if self._leaving:
            self._leaving = False
            self._leave()
