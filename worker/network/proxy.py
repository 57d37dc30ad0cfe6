"""One connection of a task through the proxy: what it asks, a connection for it, its end."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any
from typing import Protocol as Interface

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from runyard.worker.network.dialects import Ask, Dialect, Ended, Reply, Step
from runyard.worker.network.failures import Unreached, Why
from runyard.worker.network.framing import LEAST_READ, Malformed
from runyard.worker.network.http import Http, refusal
from runyard.worker.network.outside import Outside, OutsideFactory
from runyard.worker.network.relay import Counters, Relay
from runyard.worker.network.socks import Socks4, Socks5
from runyard.worker.network.targets import Target

HEAD_S = 30.0
IDLE_S = 300.0
LINGER_S = 10.0
_DIALECTS: dict[int, Callable[[], Dialect]] = {4: Socks4, 5: Socks5}

log = Logger()


class House(Interface):
    """What a connection needs of its task's proxy."""

    clock: IReactorTime
    counters: Counters

    def dial(self, target: Target, factory: IProtocolFactory) -> Deferred[Any]:
        """Connect, as `Dialler.dial` does."""

    def unreached(self, target: Target, error: Unreached) -> None:
        """Take note that a target was refused, or not reached."""


class _Phase(Enum):
    ASKING = 1
    DIALLING = 2
    JOINED = 3
    ENDING = 4


@implementer(IHalfCloseableProtocol)
class TaskSide(Protocol):
    """Reads what a task asks, has it dialled, relays, and ends.

    Attributes:
        gone: Fires when this connection has ended, and the one to the outside too.
    """

    transport: Any

    def __init__(self, house: House) -> None:
        self._house = house
        self._phase = _Phase.ASKING
        self._dialect: Dialect | None = None
        self._dialling: Deferred[Any] | None = None
        self._outside: Outside | None = None
        self._relay: Relay | None = None
        self._early: list[bytes] = []
        self._connected = False
        self._read_over = False
        self._alive = 0.0
        self._timer: Any = None
        self.gone: Deferred[None] = Deferred()

    # What the task's own transport says.

    def connectionMade(self) -> None:
        """Wait for a question, not for ever."""
        self._connected = True
        self._house.counters.connections += 1
        self.transport.setTcpNoDelay(True)
        self.transport.bufferSize = LEAST_READ  # chunks may follow the question at once
        self._end_after(HEAD_S)

    def dataReceived(self, data: bytes) -> None:
        """Take what the task sends, as it belongs to the phase; at the end it is thrown away."""
        if self._phase is _Phase.ASKING:
            self._dialect = self._dialect or _DIALECTS.get(data[0], Http)()
            self._step(self._dialect.feed(data))
        elif self._phase is _Phase.DIALLING:
            self._early.append(data)  # no more than was read before the pause
        elif self._phase is _Phase.JOINED:
            self._pass_up(data)

    def readConnectionLost(self) -> None:
        """The task sends no more: what it asked for may still come."""
        self._read_over = True
        if self._phase is _Phase.JOINED and self._relay is not None:
            self._relay.task_ended()
            self._end_if_over()
        else:
            self._phase = _Phase.ENDING
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Nothing: it is us who end our writing."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End what was for it; in order where it ended so."""
        self._connected = False
        self._phase = _Phase.ENDING
        if self._dialling is not None:
            self._dialling.cancel()
        self._leave_outside(in_order=reason.check(ConnectionDone) is not None)
        self._end_after(LINGER_S)  # the outside may be slow to take the last bytes
        self._check_gone()

    def abort(self) -> None:
        """End at once."""
        self._phase = _Phase.ENDING
        self._leave_outside(in_order=False)
        self.transport.abortConnection()

    # What the connection to the outside says.

    def outside_sent(self, data: bytes) -> None:
        """Pass it on to the task."""
        if self._phase is not _Phase.JOINED or self._relay is None:
            return
        self._alive = self._house.clock.seconds()
        try:
            self._relay.from_outside(data)
        except Malformed as error:
            self._break(refusal(Why.FAILED.status, error.text))

    def outside_ended(self) -> None:
        """The outside sends no more."""
        if self._phase is _Phase.JOINED and self._relay is not None:
            if self._relay.unanswered:
                self._break(refusal(Why.FAILED.status, "the connection ended without an answer"))
                return
            self._relay.outside_ended()
            self._end_if_over()

    def outside_lost(self, reason: Failure) -> None:
        """The connection to the outside is over; a break is passed on as a break."""
        if self._phase is _Phase.JOINED and self._relay is not None:
            if self._relay.answered:
                self._linger()
            else:
                self._break(refusal(Why.FAILED.status, "the connection broke before an answer"))
        self._check_gone()

    # From the question to the connection.

    def _step(self, step: Step) -> None:
        if isinstance(step, Reply):
            self.transport.write(step.answer)
            step = step.then
        if isinstance(step, Ask):
            self._start_dialling(step)
        elif isinstance(step, Ended):
            self._finish(step.answer)

    def _start_dialling(self, ask: Ask) -> None:
        self._phase = _Phase.DIALLING
        self._early = [ask.rest]
        self._stop_timer()  # the dialling has bounds of its own
        self.transport.pauseProducing()
        dialling = self._dialling = self._house.dial(ask.target, OutsideFactory(self))
        dialling.addCallbacks(self._join, self._not_joined, callbackArgs=(ask,), errbackArgs=(ask,))
        dialling.addErrback(self._broken)

    def _join(self, outside: Outside, ask: Ask) -> None:
        self._dialling = None
        self._outside = outside
        if self._phase is not _Phase.DIALLING:
            self._leave_outside(in_order=False)
            return
        self._phase = _Phase.JOINED
        self._alive = self._house.clock.seconds()
        self._end_after(IDLE_S)
        self._relay = Relay(self.transport, outside.transport, ask, self._house.counters)
        self.transport.resumeProducing()
        for data in self._early:
            if data and self._phase is _Phase.JOINED:
                self._pass_up(data)
        self._early = []

    def _not_joined(self, failure: Failure, ask: Ask) -> None:
        self._dialling = None
        if self._phase is not _Phase.DIALLING:
            return  # the task went away, and the dialling was given up
        failure.trap(Unreached)
        error: Unreached = failure.value  # type: ignore[assignment]
        self._house.unreached(ask.target, error)
        if self._dialect is not None:
            self._finish(self._dialect.failed(error))

    def _broken(self, failure: Failure) -> None:
        log.failure("a connection through a task's proxy broke", failure)
        self.abort()

    # Its end.

    def _pass_up(self, data: bytes) -> None:
        self._alive = self._house.clock.seconds()
        if self._relay is not None:
            try:
                self._relay.from_task(data)
            except Malformed as error:
                self._break(refusal(error.status, error.text))

    def _end_if_over(self) -> None:
        if self._relay is not None and self._relay.over:
            self._linger()

    def _break(self, answer: bytes) -> None:
        """Something is wrong with one of the sides: say so where it can be, end both."""
        if self._relay is None or not self._relay.unanswered:
            self.abort()
            return
        self._leave_outside(in_order=False)
        self._finish(answer)

    def _finish(self, answer: bytes) -> None:
        """Say a last thing, then end."""
        self.transport.write(answer)
        self.transport.loseWriteConnection()
        self._linger()

    def _linger(self) -> None:
        """Wait for the task to end too: what it has been told could be lost with a hard close."""
        self._phase = _Phase.ENDING
        self._leave_outside(in_order=True)
        if self._read_over:
            self.transport.loseConnection()
        else:
            self.transport.resumeProducing()
        self._end_after(LINGER_S)

    def _leave_outside(self, *, in_order: bool) -> None:
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.stop()
        if self._outside is not None and not self._outside.lost:
            end = self._outside.transport
            (end.loseConnection if in_order else end.abortConnection)()

    def _end_after(self, seconds: float) -> None:
        self._stop_timer()
        if not self.gone.called:  # a transport may end within the call that ends it
            self._timer = self._house.clock.callLater(seconds, self._quiet, seconds)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _quiet(self, seconds: float) -> None:
        """Abort, unless something came while it was joined."""
        quiet = self._house.clock.seconds() - self._alive
        if self._phase is _Phase.JOINED and quiet < seconds:
            self._timer = self._house.clock.callLater(seconds - quiet, self._quiet, seconds)
        else:
            self.abort()

    def _check_gone(self) -> None:
        outside_over = self._outside is None or self._outside.lost
        if not self._connected and outside_over and not self.gone.called:
            self._stop_timer()
            self.gone.callback(None)
