"""What runs for one controller, whether or not its link is there just now."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from runyard.protocols.errors import Refused
from runyard.protocols.messages import Inventory, Message, Run, Started, Watch
from runyard.protocols.messages import Refused as RefusedMessage
from runyard.protocols.tasks import Ended, Reason
from runyard.worker.executor import Executor
from runyard.worker.kept import KeptResults
from runyard.worker.sandbox.interface import Job
from runyard.worker.streaming import Streaming
from runyard.worker.translate import job_of, result_of

MOST_EARLY_CANCELS = 64
RENEWALS = 4
"""How often within a lease it is renewed."""

log = Logger()


class Sender(Protocol):
    """A link, as a session uses it."""

    @property
    def busy(self) -> bool:
        """Whether the controller reads slower than we write."""

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
    collect: bool = False
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
    life. Results are kept until they are acknowledged, within bounds (`keep`: the one in seconds).
    A `Resume` takes up what both sides still know, and ends what the controller no longer wants.
    """

    def __init__(
        self, clock: IReactorTime, executor: Executor, keep: float, changed: Callable[[], None]
    ) -> None:
        self.link: Sender | None = None
        self._clock = clock
        self._executor = executor
        self._changed = changed
        self._running: dict[str, _Running] = {}
        self._finished = KeptResults(clock, keep, changed)
        self._streaming: Streaming | None = None
        self._early_cancels: OrderedDict[str, Reason] = OrderedDict()

    @property
    def settled(self) -> bool:
        """Whether nothing runs and every result has been acknowledged."""
        return not self._running and not self._finished

    @property
    def empty(self) -> bool:
        """Whether a new session would know as much: no link, nothing that waits for one."""
        return self.link is None and self.settled

    def linked(self, link: Sender) -> None:
        """The controller goes on with this link; an older one is closed."""
        if link is self.link:
            return
        older, self.link = self.link, link
        self._stop_streaming()
        self._streaming = Streaming(self._clock, link)
        if older is not None:
            older.close()

    def unlinked(self, link: Sender, alive_at: float) -> None:
        """A link ended; `alive_at` is when the controller was last heard on it."""
        if self.link is not link:
            return
        self.link = None
        self._stop_streaming()
        self._early_cancels.clear()  # what they overtook was cut off with the link
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
            if attempt in self._finished or attempt in self._running:
                raise Refused("this attempt has run here already")
            self._start(message, job_of(message, left))
        except Refused as error:
            self._send(RefusedMessage(attempt=attempt, reason=str(error)[:512]))

    def _start(self, message: Run, job: Job) -> None:
        attempt = job.attempt
        self._running[attempt] = _Running(message.lease, message.collect)
        try:
            self._executor.execute(
                job,
                lambda: self._started(attempt),
                lambda ended: self._ended(attempt, ended),
            )
        except Refused:
            del self._running[attempt]
            raise

    def watch(self, message: Watch) -> None:
        """Send an attempt's output as it comes; nothing where it does not run here (any more)."""
        job = self._executor.running(message.attempt) if message.attempt in self._running else None
        if job is not None and self._streaming is not None:
            self._streaming.watch(message, job)

    def unwatch(self, attempt: str) -> None:
        """Send no more of it."""
        if self._streaming is not None:
            self._streaming.unwatch(attempt)

    def room(self, link: Sender) -> None:
        """A link takes more again."""
        if link is self.link and self._streaming is not None:
            self._streaming.resume()

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
        self._finished.forget(attempt)
        self._changed()

    def resume(self, wanted: list[str]) -> None:
        """Take up the attempts that the controller still wants, and end the others."""
        for attempt in set(self._running) - set(wanted):
            self._executor.stop(attempt, Reason.HUNG_UP)
        self._finished.retain(wanted)
        running = [attempt for attempt in wanted if attempt in self._running]
        finished = [attempt for attempt in wanted if attempt in self._finished]
        self._send(Inventory(running=running, finished=finished))
        for attempt in running:
            self._keep_on(attempt)
        for attempt in finished:
            self._send_result(attempt)
        self._changed()

    def _keep_on(self, attempt: str) -> None:
        self._renew(attempt)
        if self._running[attempt].started:
            self._send(Started(attempt=attempt))

    def _renew(self, attempt: str) -> None:
        """Pass the controller's last sign of life on to the slot, again before it is old.

        A link may stay open without one, where nothing comes through in one direction.
        """
        running = self._running.get(attempt)
        if running is None or self.link is None:
            return
        running.stop()
        left = self.link.alive_at + running.lease - self._clock.seconds()
        if left <= 0:
            self._expired(attempt)
            return
        self._executor.renew(attempt, left)
        pause = min(left, running.lease / RENEWALS)
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
        self.unwatch(attempt)
        collect = running is not None and running.collect
        self._finished.add(result_of(attempt, ended, collect=collect))
        self._send_result(attempt)
        self._changed()

    def _send_result(self, attempt: str) -> None:
        result = self._finished.get(attempt)
        if result is not None:
            self._send(result)

    def _stop_streaming(self) -> None:
        if self._streaming is not None:
            self._streaming.stop()
        self._streaming = None

    def _send(self, message: Message) -> None:
        if self.link is not None:
            self.link.send(message)
