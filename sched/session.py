"""What runs on one worker process, whether or not its link is there just now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.protocols.errors import LinkLost, Refused
from runyard.protocols.messages import Cancel, Drain, Message, Resume
from runyard.protocols.tasks import Ended, Reason, Task
from runyard.sched.translate import run_of

log = Logger()


class Sender(Protocol):
    """A connection, as a session uses it."""

    lost: Deferred[None]
    closing: bool

    @property
    def busy(self) -> bool:
        """Whether the worker reads slower than we write."""

    def send(self, message: Message) -> None:
        """Send a message."""


@define(eq=False)
class _Pending:
    done: Deferred[Ended]
    started: Callable[[], None]
    cancelling: Reason | None = None


class WorkerSession:
    """The attempts on one worker process: the roster's Runner.

    When the link ends they are in doubt, and nothing of them starts elsewhere, for `hold` seconds:
    until then the worker may still run them under their leases. A link to the same process takes
    them up again; what it no longer knows is lost at once. Proven death loses all of them at once.
    """

    def __init__(self, clock: IReactorTime, boot: str, hold: float, lease: float) -> None:
        self.boot = boot
        self.connection: Sender | None = None
        self._clock = clock
        self._hold = hold
        self._lease = lease
        self._pending: dict[str, _Pending] = {}
        self._doubt: IDelayedCall | None = None
        self._resuming = False
        self._beat = 0

    @property
    def busy(self) -> bool:
        """Whether nothing new can go out just now."""
        return self._resuming or self.connection is None or self.connection.busy

    @property
    def lost(self) -> Deferred[None]:
        """Fires when the present connection is gone."""
        if self.connection is not None:
            return self.connection.lost
        gone: Deferred[None] = Deferred()
        gone.callback(None)
        return gone

    def run(self, attempt: str, task: Task, started: Callable[[], None]) -> Deferred[Ended]:
        """Start an attempt: fires with its end, or fails with LinkLost or Refused."""
        done: Deferred[Ended] = Deferred()
        if self.connection is None or self.connection.closing:
            done.errback(Failure(Refused("the link is gone")))
            return done
        self.connection.send(run_of(attempt, task, self._lease, self._beat))
        self._pending[attempt] = _Pending(done, started)
        return done

    def cancel(self, attempt: str, reason: Reason) -> None:
        """Ask for the end of an attempt, now or when the link is back."""
        pending = self._pending.get(attempt)
        if pending is not None:
            pending.cancelling = reason
            self._send(Cancel(attempt=attempt, reason=reason.value))

    def drain(self, *, leave: bool) -> None:
        """Ask the worker to take nothing new, and with `leave` to end once it is idle."""
        self._send(Drain(leave=leave))

    def beat(self, number: int) -> None:
        """A Ping of the worker came."""
        self._beat = number

    def linked(self, connection: Sender) -> None:
        """The process is linked (again): ask what it still has of what we wait for."""
        self.connection = connection
        self._beat = 0
        self._stop_doubt()
        self._resuming = True
        self._send(Resume(attempts=list(self._pending)))

    def inventory(self, known: set[str]) -> None:
        """The worker has told what it knows: the rest is lost."""
        self._resuming = False
        for attempt in set(self._pending) - known:
            self._lose(attempt, "the worker does not know it any more")
        for attempt, pending in self._pending.items():
            if pending.cancelling is not None:
                self._send(Cancel(attempt=attempt, reason=pending.cancelling.value))

    def unlinked(self, connection: Sender, why: str) -> None:
        """The link ended: everything is in doubt for a while."""
        if self.connection is not connection:
            return
        self.connection = None
        self._resuming = False
        if self._pending:
            self._doubt = self._clock.callLater(self._hold, self.dead, why)

    def dead(self, why: str) -> None:
        """The process is surely gone, or has surely ended what it ran."""
        self._stop_doubt()
        for attempt in list(self._pending):
            self._lose(attempt, why)

    def started(self, attempt: str) -> None:
        """An attempt's process runs."""
        pending = self._pending.get(attempt)
        if pending is not None:
            pending.started()

    def refused(self, attempt: str, reason: str) -> None:
        """An attempt was not taken."""
        pending = self._pending.pop(attempt, None)
        if pending is not None:
            pending.done.errback(Failure(Refused(reason)))

    def ended(self, attempt: str, ended: Ended) -> bool:
        """An attempt has a result; False when nobody waits for it."""
        pending = self._pending.pop(attempt, None)
        if pending is None:
            return False
        if ended.reason is Reason.LEASE:
            pending.done.errback(Failure(LinkLost("its lease was over before the link was back")))
        else:
            pending.done.callback(ended)
        return True

    def _lose(self, attempt: str, why: str) -> None:
        self._pending.pop(attempt).done.errback(Failure(LinkLost(why)))

    def _send(self, message: Message) -> None:
        if self.connection is not None:
            self.connection.send(message)

    def _stop_doubt(self) -> None:
        if self._doubt is not None and self._doubt.active():
            self._doubt.cancel()
        self._doubt = None
