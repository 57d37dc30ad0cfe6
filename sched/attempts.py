"""One attempt: on its worker, with its time limit and the confirmation of its end."""

from __future__ import annotations

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.protocols.errors import LinkLost, Refused
from runyard.protocols.ids import attempt_id
from runyard.protocols.tasks import Ended, LimitHit, Outcome, Reason, cancelled
from runyard.sched.roster import Roster, Worker
from runyard.sched.tickets import Ticket

log = Logger()


@frozen
class Timing:
    """Seconds that an attempt is given.

    Attributes:
        grace: Past its wall limit until we cancel it; its worker should have ended it by then.
        check: Beside that for the check of its output, the wait for a free checker among it.
        launch: Until its worker tells that it has started.
        confirm: Until it must be gone once cancelled.
    """

    grace: float = 2.0
    check: float = 20.0
    launch: float = 15.0
    confirm: float = 5.0


class Attempt:
    """Runs a ticket's task once on a worker.

    Attributes:
        done: Fires with the Ended, or fails with LinkLost or Refused. Once stopped it always fires:
            what was stopped stays what it was stopped for, whether or not its worker confirms.
    """

    def __init__(
        self, clock: IReactorTime, roster: Roster, timing: Timing, ticket: Ticket, worker: Worker
    ) -> None:
        ticket.serial += 1
        self.id = attempt_id(ticket.task.id, ticket.serial)
        self.ticket = ticket
        self.worker = worker
        self.done: Deferred[Ended] = Deferred()
        self._clock = clock
        self._roster = roster
        self._timing = timing
        self._stopping: Reason | None = None
        self._timer: IDelayedCall | None = None
        self._over = False

    def start(self) -> None:
        """Send it out."""
        self._roster.take(self.worker, self.id)
        self._timer = self._clock.callLater(self._timing.launch, self._not_launched)
        link = self.worker.link
        run = maybeDeferred(link.run, self.id, self.ticket.task, self._started)
        run.addBoth(self._arrived)
        run.addErrback(lambda failure: log.failure("attempt {id}", failure, id=self.id))

    def stop(self, reason: Reason) -> None:
        """Have it ended; the first reason counts."""
        if self._stopping is not None or self._over:
            return
        self._stopping = reason
        self._disarm()
        self._timer = self._clock.callLater(self._timing.confirm, self._unconfirmed, reason)
        self.worker.link.cancel(self.id, reason)

    def _not_launched(self) -> None:
        """It was not told to have started: that is no doing of the task's."""
        self._timer = self._clock.callLater(self._timing.confirm, self._give_up)
        self.worker.link.cancel(self.id, Reason.HUNG_UP)

    def _give_up(self) -> None:
        self._roster.quarantine(self.worker, self.id)
        self._over = True
        seconds = self._timing.launch
        self.done.errback(Failure(LinkLost(f"it was not told to have started in {seconds:g} s")))

    def _started(self) -> None:
        self.ticket.marks.setdefault("started", self._clock.seconds())
        if self._stopping is None:
            task, timing = self.ticket.task, self._timing
            check = timing.check if task.format is not None else 0.0
            self._arm(task.limits.wall_s + timing.grace + check, Reason.TIMEOUT)

    def _arrived(self, result: Ended | Failure) -> None:
        """The worker has answered, or its link is gone."""
        self._disarm()
        refused = isinstance(result, Failure) and result.check(Refused) is not None
        failed = isinstance(result, Failure) or result.outcome is Outcome.INTERNAL_FAIL
        if not self._over:
            self._over = True
            if refused and self._stopping is not None:
                self.done.callback(cancelled(self._stopping, "It was cancelled before it started."))
            elif failed and self._stopping is not None:
                text = "Its worker was lost while it was stopped."
                self.done.callback(self._as_stopped(self._stopping, text))
            elif isinstance(result, Failure):
                self.done.errback(result)
            else:
                self.done.callback(result)
        self._roster.release(self.worker, self.id, refused=refused)

    def _unconfirmed(self, reason: Reason) -> None:
        seconds = self._timing.confirm
        log.warn(
            "attempt {id}: worker {worker} did not confirm its end in {seconds:g} s;"
            " the slot is quarantined",
            id=self.id, worker=self.worker.name, seconds=seconds,
        )  # fmt: skip
        self._roster.quarantine(self.worker, self.id)
        self._over = True
        text = f"Its worker did not confirm in {seconds:g} s that its processes are gone."
        self.done.callback(self._as_stopped(reason, text))

    def _as_stopped(self, reason: Reason, detail: str) -> Ended:
        if reason is Reason.TIMEOUT:
            limit = self.ticket.task.limits.wall_s
            hit = LimitHit("wall_s", limit, limit + self._timing.grace)
            return Ended(
                Outcome.RUNTIME_ERROR, Reason.TIMEOUT,
                f"It ran longer than its limit of {limit:g} s. {detail}",
                limit=hit, isolation=self.worker.isolation, confirmed=False,
            )  # fmt: skip
        return cancelled(reason, detail, confirmed=False)

    def _arm(self, seconds: float, reason: Reason) -> None:
        self._disarm()
        self._timer = self._clock.callLater(seconds, self.stop, reason)

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
