"""What runs for one controller, whether or not its link is there just now."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from runyard.protocols.errors import Refused
from runyard.protocols.messages import Inventory, Message, Result, Run, Started
from runyard.protocols.messages import Refused as RefusedMessage
from runyard.protocols.tasks import Ended, Reason
from runyard.worker.executor import Executor
from runyard.worker.translate import job_of, result_of

MOST_KEPT_BYTES = 256 * 1024 * 1024
MOST_KEPT = 1024
MOST_EARLY_CANCELS = 64
RENEWALS = 4
"""How often within a lease it is renewed."""

log = Logger()


class Sender(Protocol):
    """A link, as a session uses it."""

    @property
    def alive_at(self) -> float:
        """When the controller was last heard, in seconds of the clock."""

    def send(self, message: Message) -> None:
        """Send a message."""

    def close(self) -> None:
        """Close it."""


@define
class _Running:
    lease: float
    started: bool = False
    timer: IDelayedCall | None = None

    def stop(self) -> None:
        """Stop what is timed."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None


class Session:
    """The attempts of one controller on this worker.

    When the link ends they run on, each under its lease, counted from the controller's last sign of
    life. Results are kept until they are acknowledged, within bounds. A `Resume` takes up what both
    sides still know, and ends what the controller no longer wants.
    """

    def __init__(
        self, clock: IReactorTime, executor: Executor, changed: Callable[[], None]
    ) -> None:
        self.link: Sender | None = None
        self._clock = clock
        self._executor = executor
        self._changed = changed
        self._running: dict[str, _Running] = {}
        self._finished: OrderedDict[str, Result] = OrderedDict()
        self._early_cancels: OrderedDict[str, Reason] = OrderedDict()

    @property
    def settled(self) -> bool:
        """Whether nothing runs and every result has been acknowledged."""
        return not self._running and not self._finished

    def linked(self, link: Sender) -> None:
        """The controller has proven itself on a new link; an older one is closed."""
        older, self.link = self.link, link
        if older is not None:
            older.close()

    def unlinked(self, link: Sender, alive_at: float) -> None:
        """A link ended; `alive_at` is when the controller was last heard on it."""
        if self.link is not link:
            return
        self.link = None
        now = self._clock.seconds()
        for attempt, running in self._running.items():
            running.stop()
            left = max(0.0, alive_at + running.lease - now)
            running.timer = self._clock.callLater(left, self._expired, attempt)

    def run(self, message: Run, sent_at: float) -> None:
        """Start an attempt, or say why not.

        `sent_at` is a moment of our clock after which the controller has sent it: what was under
        way for longer than its lease may have been given up, and runs elsewhere by now.
        """
        attempt = message.attempt
        left = sent_at + message.lease - self._clock.seconds()
        try:
            if left <= 0:
                raise Refused("it was under way for longer than its lease")
            if self._early_cancels.pop(attempt, None) is not None:
                raise Refused("it was cancelled before it arrived")
            if attempt in self._finished:
                raise Refused("this attempt has run here already")
            self._running[attempt] = _Running(message.lease)
            self._executor.execute(
                job_of(message, left),
                lambda: self._started(attempt),
                lambda ended: self._ended(attempt, ended),
            )
        except Refused as error:
            if attempt not in self._executor.attempts:
                self._running.pop(attempt, None)
            self._send(RefusedMessage(attempt=attempt, reason=str(error)[:512]))

    def cancel(self, attempt: str, reason: Reason) -> None:
        """End an attempt; one that is still on its way here is refused when it comes."""
        if attempt in self._running:
            self._executor.stop(attempt, reason)
        elif attempt not in self._finished:
            self._early_cancels[attempt] = reason
            if len(self._early_cancels) > MOST_EARLY_CANCELS:
                self._early_cancels.popitem(last=False)

    def acknowledge(self, attempt: str) -> None:
        """Forget a result."""
        self._finished.pop(attempt, None)
        self._changed()

    def resume(self, wanted: list[str]) -> None:
        """Take up the attempts that the controller still wants, and end the others."""
        for attempt in set(self._running) - set(wanted):
            self._executor.stop(attempt, Reason.HUNG_UP)
        for attempt in set(self._finished) - set(wanted):
            del self._finished[attempt]
        running = [attempt for attempt in wanted if attempt in self._running]
        finished = [attempt for attempt in wanted if attempt in self._finished]
        self._send(Inventory(running=running, finished=finished))
        for attempt in running:
            self._keep_on(attempt)
        for attempt in finished:
            self._send(self._finished[attempt])
        self._changed()

    def _keep_on(self, attempt: str) -> None:
        self._renew(attempt)
        if self._running[attempt].started:
            self._send(Started(attempt=attempt))

    def _renew(self, attempt: str) -> None:
        """Pass the controller's last sign of life on to the slot, again before it is old."""
        running = self._running.get(attempt)
        if running is None or self.link is None:
            return
        running.stop()
        left = self.link.alive_at + running.lease - self._clock.seconds()
        if left > 0:
            self._executor.renew(attempt, left)
        pause = running.lease / RENEWALS
        running.timer = self._clock.callLater(pause, self._renew, attempt)

    def _expired(self, attempt: str) -> None:
        log.warn("attempt {attempt}: its lease is over, so it is ended", attempt=attempt)
        self._executor.stop(attempt, Reason.LEASE)

    def _started(self, attempt: str) -> None:
        running = self._running.get(attempt)
        if running is not None:
            running.started = True
            self._renew(attempt)
        self._send(Started(attempt=attempt))

    def _ended(self, attempt: str, ended: Ended) -> None:
        running = self._running.pop(attempt, None)
        if running is not None:
            running.stop()
        self._finished[attempt] = result_of(attempt, ended)
        self._bound()
        if attempt in self._finished:
            self._send(self._finished[attempt])
        self._changed()

    def _bound(self) -> None:
        size = sum(len(each.stdout) + len(each.stderr) for each in self._finished.values())
        while len(self._finished) > MOST_KEPT or (size > MOST_KEPT_BYTES and self._finished):
            attempt, dropped = self._finished.popitem(last=False)
            size -= len(dropped.stdout) + len(dropped.stderr)
            log.warn("the result of {attempt} was dropped: too many wait", attempt=attempt)

    def _send(self, message: Message) -> None:
        if self.link is not None:
            self.link.send(message)
