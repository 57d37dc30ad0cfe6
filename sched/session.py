"""What runs on one worker process, whether or not its link is there just now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.protocols.errors import LinkLost, Loss, Refused, Undelivered
from runyard.protocols.messages import Cancel, Drain, Message, Output, Resume, Unwatch
from runyard.protocols.tasks import Ended, Reason, Task
from runyard.sched.translate import run_of
from runyard.sched.watching import Listener, Watching

log = Logger()


class Sender(Protocol):
    """A connection, as a session uses it."""

    lost: Deferred[None]
    closing: bool
    version: int

    @property
    def busy(self) -> bool:
        """Whether the worker reads slower than we write."""

    def send(self, message: Message) -> None:
        """Send a message."""


@frozen
class Leases:
    """For how many seconds a task may run on while its worker's link is cut.

    Attributes:
        waiting: One whose caller waits for it.
        durable: One that goes on without a caller.
        margin: How many leases after a link's end its worker has surely ended what it ran. Its
            slots hold each attempt's lease from our last sign of life, even where the worker itself
            is frozen; a quarter is added for clocks that differ.
    """

    waiting: float = 10.0
    durable: float = 60.0
    margin: float = 1.25

    def of(self, task: Task) -> float:
        """Give a task's lease."""
        return self.durable if task.keep_on_disconnect else self.waiting

    def hold(self, lease: float) -> float:
        """Give the seconds from a link's end until nothing under this lease can run any more."""
        return lease * self.margin

    def redial(self) -> float:
        """Give the longest pause between two dials: well below every lease."""
        return min(self.waiting, self.durable) / 5


@define(eq=False)
class _Pending:
    done: Deferred[Ended]
    started: Callable[[], None]
    lease: float
    others: int = 0
    has_started: bool = False
    cancelling: Reason | None = None
    doubt: IDelayedCall | None = None
    running: bool = False
    watching: Watching | None = None
    watched: bool = False

    def trust(self) -> None:
        """It is not in doubt any more."""
        if self.doubt is not None and self.doubt.active():
            self.doubt.cancel()
        self.doubt = None

    def relinked(self) -> None:
        """A new link: it is not in doubt, and nobody watches it there yet."""
        self.trust()
        self.running = self.watched = False
        if self.watching is not None:
            self.watching.relinked()


class WorkerSession:
    """The attempts on one worker process: the roster's Runner.

    When the link ends they are in doubt, and nothing of them starts elsewhere, for a quarter longer
    than their leases: until then the worker may still run them. A link to the same process takes
    them up again; what it no longer knows is lost at once. Proven death loses all of them at once.
    """

    def __init__(self, clock: IReactorTime, boot: str, leases: Leases) -> None:
        self.boot = boot
        self.connection: Sender | None = None
        self._clock = clock
        self._leases = leases
        self._pending: dict[str, _Pending] = {}
        self._resuming = False
        self._beat = 0

    @property
    def linked_now(self) -> bool:
        """Whether a connection leads to it."""
        return self.connection is not None and not self.connection.closing

    @property
    def resuming(self) -> bool:
        """Whether the worker has yet to tell what it knows."""
        return self._resuming

    @property
    def in_doubt(self) -> bool:
        """Whether attempts wait for a link that may come back."""
        return self.connection is None and bool(self._pending)

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
        if self.connection is None or not self.linked_now:
            done.errback(Failure(Refused("the link is gone")))
            return done
        lease = self._leases.of(task)
        self.connection.send(run_of(attempt, task, lease, self._beat))
        self._pending[attempt] = _Pending(done, started, lease)
        return done

    def cancel(self, attempt: str, reason: Reason) -> None:
        """Ask for the end of an attempt, now or when the link is back."""
        pending = self._pending.get(attempt)
        if pending is not None:
            pending.cancelling = reason
            self._send(Cancel(attempt=attempt, reason=reason.value))

    def watch(self, attempt: str, listener: Listener) -> bool:
        """Have a listener told what an attempt writes, from its start to its end.

        Another listener of this attempt is told no more. On a link of version 1 it comes all at
        once, with the result. False when there is no such attempt here.
        """
        pending = self._pending.get(attempt)
        if pending is None:
            return False
        pending.watching = Watching(listener, crossing=pending.watched)
        self._ask_output(attempt, pending)
        return True

    def unwatch(self, attempt: str) -> None:
        """Have nobody told any more."""
        pending = self._pending.get(attempt)
        if pending is not None and pending.watching is not None:
            pending.watching = None
            if pending.watched:
                self._send(Unwatch(attempt=attempt))

    def output(self, message: Output) -> bool:
        """A piece of output came; False when it is of no attempt that runs here.

        Raises:
            ProtocolError: it leaves a gap.
        """
        pending = self._pending.get(message.attempt)
        if pending is not None and pending.watching is not None:
            pending.watching.output(message)
        return pending is not None

    def _ask_output(self, attempt: str, pending: _Pending) -> None:
        """Send Watch where somebody watches what runs; a Started, which comes first, asks again."""
        connection = self.connection
        if pending.watching is None or not pending.running or connection is None:
            return
        if connection.version > 1:
            pending.watched = True
            self._send(pending.watching.message(attempt))

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
        for pending in self._pending.values():
            pending.relinked()
        self._resuming = True
        self._send(Resume(attempts=list(self._pending)))

    def inventory(self, known: set[str]) -> None:
        """The worker has told what it knows: the rest is lost, or never reached it."""
        self._resuming = False
        unknown = [attempt for attempt in self._pending if attempt not in known]
        gone = [attempt for attempt in unknown if self._pending[attempt].has_started]
        self._lose(gone, "the worker does not know it any more", Loss.LINK)
        for attempt in set(unknown) - set(gone):
            # The same process would know it: its Run was under way when the link ended, and what
            # still comes on that connection is not read any more.
            never = Undelivered("the link ended before it reached the worker")
            self._pending.pop(attempt).done.errback(Failure(never))
        for attempt, pending in self._pending.items():
            if pending.cancelling is not None:
                self._send(Cancel(attempt=attempt, reason=pending.cancelling.value))

    def unlinked(self, connection: Sender, why: str) -> None:
        """The link ended: everything is in doubt for a while."""
        if self.connection is not connection:
            return
        self.connection = None
        self._resuming = False
        leases: dict[float, list[str]] = {}
        for attempt, pending in self._pending.items():
            pending.others = len(self._pending) - 1
            leases.setdefault(pending.lease, []).append(attempt)
        for lease, attempts in leases.items():
            doubt = self._clock.callLater(self._leases.hold(lease), self._over, attempts, why)
            for attempt in attempts:
                self._pending[attempt].doubt = doubt

    def _over(self, attempts: list[str], why: str) -> None:
        """The worker was not heard of again; its slots have surely ended these by now."""
        self._lose([attempt for attempt in attempts if attempt in self._pending], why, Loss.DEATH)

    def dead(self, why: str) -> None:
        """The process is proven to be gone."""
        self._lose(list(self._pending), why, Loss.DEATH)

    def started(self, attempt: str) -> None:
        """An attempt's process runs."""
        pending = self._pending.get(attempt)
        if pending is not None:
            pending.running = True
            self._ask_output(attempt, pending)
            if not pending.has_started:  # it is told again after each Resume
                pending.has_started = True
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
            if pending.watching is not None:
                pending.watching.ended(ended)
            pending.done.callback(ended)
        return True

    def _lose(self, attempts: list[str], why: str, loss: Loss) -> None:
        lost = {attempt: self._pending.pop(attempt) for attempt in attempts}
        for pending in lost.values():
            pending.trust()
        for pending in lost.values():
            others = max(pending.others, len(lost) - 1)
            pending.done.errback(Failure(LinkLost(why, loss, others)))

    def _send(self, message: Message) -> None:
        if self.connection is not None:
            self.connection.send(message)
