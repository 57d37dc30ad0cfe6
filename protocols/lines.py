"""The transport of the protocol: framing, size limits, the end of a connection that misbehaves."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from runyard.daemon.tls import is_tls, loss_text
from runyard.protocols.errors import ProtocolError
from runyard.protocols.heartbeat import Heartbeat
from runyard.protocols.inbox import Inbox
from runyard.protocols.messages import Error, Message, Ping, Pong
from runyard.protocols.outbox import FRAME, Outbox
from runyard.protocols.prompt import make_prompt
from runyard.protocols.texts import one_line
from runyard.protocols.verbs import known_in

MAX_HEADER = 64 * 1024
MAX_HEADER_BEFORE_PROOF = 4 * 1024
HANDSHAKE_S = 5.0
CLOSE_S = 2.0
MOST_HELD = 1024 * 1024
"""Bytes of control messages that may wait for a peer that does not read."""
MOST_BULK = 512 * 1024 * 1024
"""Bytes of payloads that may."""
MOST_A_TURN = 256
"""Header lines that one link has us read before everybody else has their turn."""

TLS_RECORD = b"\x16\x03"
"""How TLS begins; no line does."""

log = Logger()


class MessageReceiver(LineReceiver):
    """One end of a link: parses, checks, and hands values to ``on_<verb>`` methods.

    A subclass names what its peer may send and handles it. It has no policy of its own: a peer that
    breaks the protocol gets one Error, one line in our log, and a closed connection.

    Attributes:
        version: The version of the protocol that both sides chose; set before `prove`.
    """

    delimiter = b"\n"
    MAX_LENGTH = MAX_HEADER_BEFORE_PROOF
    peer_sends: frozenset[str] = frozenset()
    transport: Any

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self.proven = False
        self.version = 1
        self.closing = False
        self.lost: Deferred[None] = Deferred()
        self._inbox = Inbox(self.peer_sends)
        self._outbox: Outbox | None = None
        self._heartbeat: Heartbeat | None = None
        self._deadline: IDelayedCall | None = None
        self._turn: IDelayedCall | None = None
        self._receiving = False
        self._taken = 0
        self._why = ""
        self._heard = False

    @property
    def busy(self) -> bool:
        """Whether the peer reads slower than we write."""
        return self.closing or (self._outbox is not None and self._outbox.busy)

    def connectionMade(self) -> None:
        """Start the handshake's clock."""
        make_prompt(self.transport)
        self._outbox = Outbox(self.transport, MAX_HEADER, self.busy_changed)
        self._deadline = self.clock.callLater(HANDSHAKE_S, self._late)

    def _late(self) -> None:
        self.refuse(f"no proof within {HANDSHAKE_S:g} s")
        if not self._heard and is_tls(self.transport):
            # A close in order would wait for a TLS handshake that never came.
            self._abort()

    def prove(self, interval: float, silence: float) -> None:
        """Both proofs are good: allow the working verbs and watch over the peer's life."""
        self.proven = self._inbox.proven = True
        self._inbox.version = self.version
        self.MAX_LENGTH = MAX_HEADER
        self._cancel_deadline()
        self._heartbeat = Heartbeat(
            self.clock, interval, silence, self.ping, self._cut,
            blocked=lambda: self._outbox.blocked if self._outbox is not None else 0,
        )  # fmt: skip

    def send(self, message: Message) -> None:
        """Send a message; nothing happens when the connection is gone already."""
        if self._outbox is None or self.closing:
            return
        if not known_in(self.version, message.verb):
            raise ValueError(f"{message.verb} on a link of version {self.version}")
        self._outbox.send(message)
        if self._outbox.held > MOST_HELD or self._outbox.bulk > MOST_BULK:
            self.refuse("it does not read what it is sent")

    def refuse(self, reason: str) -> None:
        """Close with an Error: the peer broke the protocol."""
        if self.closing:
            return
        self._why = reason
        log.warn("link with {peer} closed: {reason}", peer=self._peer(), reason=reason)
        if self._outbox is not None:  # not by `send`, which may have come here itself
            self._outbox.send(Error(reason=reason[:512]))
        self.close()

    def close(self) -> None:
        """Close in order, and by force when that does not end soon."""
        if self.closing:
            return
        self.closing = True
        self._cancel_deadline()
        self._cancel_turn()
        self.busy_changed()
        if self._outbox is not None:
            self._outbox.stopProducing()
        if self.transport is not None:
            self._deadline = self.clock.callLater(CLOSE_S, self._abort)
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Feed at most 64 KiB at a time: LineReceiver is quadratic in what it buffers."""
        if self._receiving:  # what raw mode gives back, from inside of the loop below
            super().dataReceived(data)
            return
        if self._heartbeat is not None:
            self._heartbeat.alive()
        if not self._heard and data.startswith(TLS_RECORD):
            self.refuse("it speaks TLS where this side expects none")
        self._heard = True
        self._receiving, self._taken = True, 0
        try:
            for start in range(0, len(data) or 1, FRAME):
                if not self.closing:
                    super().dataReceived(data[start : start + FRAME])
        finally:
            self._receiving = False

    def lineReceived(self, line: bytes) -> None:
        """Take a header line."""
        if self.closing:
            return
        self._taken += 1
        if self._taken == MOST_A_TURN:
            self.pauseProducing()
            self._turn = self.clock.callLater(0, self._next_turn)
        try:
            message = self._inbox.line(line)
            if self._inbox.expected:
                self.setRawMode()
            if message is not None:
                self._dispatch(message)
        except ProtocolError as error:
            self.refuse(str(error))
        except Exception:  # noqa: BLE001 (whatever it is, it ends this link and no other)
            log.failure("a fault with a message of {peer}", peer=self._peer())
            self.refuse("a fault of this side")

    def rawDataReceived(self, data: bytes) -> None:
        """Take payload bytes."""
        if self.closing:
            return
        try:
            message, rest = self._inbox.raw(data)
            if message is not None:
                self._dispatch(message)
        except ProtocolError as error:
            self.refuse(str(error))
            return
        except Exception:  # noqa: BLE001 (likewise)
            log.failure("a fault with a message of {peer}", peer=self._peer())
            self.refuse("a fault of this side")
            return
        if not self._inbox.expected:
            self.setLineMode(rest)

    def _next_turn(self) -> None:
        self._turn = None
        self.resumeProducing()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Say so before closing; the default drops the connection silently."""
        self.refuse(f"a header line may hold {self.MAX_LENGTH} bytes")

    def _dispatch(self, message: Message) -> None:
        handler: Any = getattr(self, f"on_{message.verb.lower()}")
        handler(message)

    def on_ping(self, message: Ping) -> None:
        """Answer, unless the peer does not even read what it was sent."""
        if not self.busy:
            self.send(Pong(beat=message.beat))

    def on_pong(self, message: Pong) -> None:
        """Nothing: its bytes were the sign of life."""

    def on_error(self, message: Error) -> None:
        """The peer closes; so do we."""
        reason = one_line(message.reason)
        self._why = f"the peer says: {reason}"
        log.warn("link with {peer} closed by it: {reason}", peer=self._peer(), reason=reason)
        self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stop everything that was timed, then tell."""
        why = self._why or loss_text(reason)
        gone = reason.check(ConnectionDone, ConnectionLost)
        if not (self.closing or self.proven) and (self._heard or not gone):
            # Of one that said nothing and left, as a probe's does, nothing is logged.
            log.warn("link with {peer} ended before the proofs: {why}", peer=self._peer(), why=why)
        self.closing = True
        self._cancel_deadline()
        self._cancel_turn()
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._outbox is not None:
            self._outbox.stopProducing()
        self.link_lost(why)
        self.lost.callback(None)

    def busy_changed(self) -> None:
        """The peer has become slower than we write, or no longer is (for a subclass)."""

    def link_lost(self, why: str) -> None:
        """Say to the side's own code that this link is over (for a subclass)."""

    def ping(self) -> None:
        """Ask the peer for a sign of life."""
        self.send(Ping())

    def _cut(self, why: str) -> None:
        self._why = why
        log.warn("link with {peer} cut: {why}", peer=self._peer(), why=why)
        self._abort()

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def _cancel_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
        self._turn = None

    def _peer(self) -> str:
        return str(self.transport.getPeer()) if self.transport is not None else "nobody"
