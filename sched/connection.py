"""One connection of the controller to a worker: both prove themselves, then messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from runyard.daemon.tls import binding
from runyard.protocols.errors import ProtocolError
from runyard.protocols.ids import new_token
from runyard.protocols.lines import MessageReceiver
from runyard.protocols.messages import (
    Ack,
    Drain,
    Hello,
    Inventory,
    Output,
    Ping,
    Proof,
    Result,
    Started,
    Welcome,
)
from runyard.protocols.messages import Refused as RefusedMessage
from runyard.protocols.proofs import Handshake, controller_proof, worker_proven
from runyard.protocols.verbs import FROM_WORKER, common_version
from runyard.sched.known import LinkedElsewhere
from runyard.sched.session import WorkerSession
from runyard.sched.translate import ended_of

if TYPE_CHECKING:
    from runyard.sched.link import WorkerLink

log = Logger()


class WorkerConnection(MessageReceiver):
    """One connection to a worker."""

    peer_sends = FROM_WORKER

    def __init__(self, link: WorkerLink) -> None:
        super().__init__(link.clock)
        self.session: WorkerSession | None = None
        self._link = link
        self._nonce = new_token()
        self._strayed = False
        self._hello: Hello | None = None
        self._shake: Handshake | None = None

    def on_hello(self, message: Hello) -> None:
        """Choose a version and prove ourselves."""
        if self._hello is not None:
            raise ProtocolError("Hello comes once")
        self.version = common_version(message.versions)
        if self._link.is_spare(message):
            self.close()
            return
        settings = self._link.settings
        self._hello = message
        self._shake = Handshake(
            self.version, message.name, message.boot, settings.name, message.nonce, self._nonce,
            binding(self.transport),
        )  # fmt: skip
        welcome = Welcome(
            version=self.version, name=settings.name, heartbeat=settings.heartbeat,
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
        try:
            session = self._link.proven(self._hello)
        except LinkedElsewhere as error:
            self._link.spare(str(error))
            self.close()
            return
        self.prove(settings.heartbeat, settings.silence)
        self.session = session
        session.linked(self)

    def on_ping(self, message: Ping) -> None:
        """Note the worker's number, and answer."""
        super().on_ping(message)
        if self.session is not None:
            self.session.beat(message.beat)

    def on_inventory(self, message: Inventory) -> None:
        """What the worker still has of what we wait for; from here on it gets work."""
        if self.session is None or not self.session.resuming:
            raise ProtocolError("an Inventory that was not asked for")
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

    def on_output(self, message: Output) -> None:
        """A piece of what an attempt wrote; one for nobody is left out, with one line a link."""
        if self.session is None or self.session.output(message) or self._strayed:
            return
        self._strayed = True
        log.warn("output of attempt {attempt}, which does not run", attempt=message.attempt)

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
            self._link.fruitless(why)
