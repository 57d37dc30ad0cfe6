"""Brings waiting tasks and free slots together, and every attempt's end to its ticket."""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.protocols.errors import LinkLost, Refused
from runyard.protocols.tasks import Ended, Outcome, Reason, State, Task, cancelled
from runyard.sched.attempts import Attempt, Timing
from runyard.sched.backlog import Backlog
from runyard.sched.evaluator import choose
from runyard.sched.recovery import Final, Retry, after_failure, failed_by_us
from runyard.sched.retries import Retries
from runyard.sched.roster import Roster, Worker
from runyard.sched.tickets import AttemptRecord, Ticket, Tickets

log = Logger()


@frozen
class Settings:
    """Seconds until a task that fits nowhere ends, and those of an attempt."""

    start_timeout: float = 300.0
    timing: Timing = field(factory=Timing)


class Draining(Exception):
    """The scheduler takes nothing new."""


class Dispatcher:
    """Takes tasks in, starts their attempts, and finishes their tickets."""

    def __init__(
        self,
        clock: IReactorTime,
        tickets: Tickets,
        backlog: Backlog,
        roster: Roster,
        settings: Settings,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self.draining = False
        self._clock = clock
        self._tickets = tickets
        self._backlog = backlog
        self._roster = roster
        self._settings = settings
        self._luck = luck
        self._running: dict[str, Attempt] = {}
        self._retries = Retries(clock, self._again)
        self._start_timers: dict[str, IDelayedCall] = {}
        self._pumping = False
        roster.room = self.pump

    def submit(self, task: Task) -> Ticket:
        """Take a task in.

        Raises:
            Full: the backlog has no room.
            Draining: the scheduler is about to stop.
        """
        if self.draining:
            raise Draining("the scheduler is stopping")
        self._backlog.check(task.size)
        ticket = self._tickets.open(task)
        ticket.marks["queued"] = self._clock.seconds()
        self._wait_for_start(ticket)
        self._backlog.put(ticket)
        self.pump()
        return ticket

    def stop(self, ticket: Ticket, reason: Reason) -> None:
        """Cancel a task: a pending one ends at once, a running one when its worker has ended it."""
        if ticket.state is State.FINISH or ticket.stopping is not None:
            return
        ticket.stopping = reason
        attempt = self._running.get(ticket.task.id)
        if attempt is not None:
            attempt.stop(reason)
            return
        if not self._backlog.remove(ticket):
            self._retries.remove(ticket)
        self._finish(ticket, cancelled(reason, "It was cancelled before it started."))

    def counts(self) -> dict[str, int]:
        """Count what is under way: tickets by place, slots, the process's timed calls."""
        return {
            "unfinished": len(self._tickets.unfinished()),
            "pending": len(self._backlog),
            "running": len(self._running),
            "waiting_for_retry": len(self._retries),
            "slots_in_use": self._roster.slots_in_use,
            "delayed_calls": len(self._clock.getDelayedCalls()),
        }

    def pump(self) -> None:
        """Start what can be started. An error with one task never keeps the others waiting."""
        if self._pumping:
            return
        self._pumping = True
        try:
            for runtime in self._backlog.runtimes():
                while self._start_next(runtime):
                    pass
        finally:
            self._pumping = False

    def _start_next(self, runtime: str) -> bool:
        workers = {each.name: each for each in self._roster.with_room(runtime)}
        ticket = self._backlog.first(runtime) if workers else None
        if ticket is None:
            return False
        avoid = frozenset(ticket.avoid)
        best = choose([each.candidate() for each in workers.values()], avoid)
        if best is None:
            return False
        self._backlog.remove(ticket)
        self._start(ticket, workers[best.name])
        return True

    def _start(self, ticket: Ticket, worker: Worker) -> None:
        now = self._tickets.now()
        ticket.move(State.RUNNING)
        ticket.started_at = ticket.started_at or now
        ticket.attempts.append(AttemptRecord(len(ticket.attempts) + 1, worker.name, now))
        ticket.marks["dispatched"] = self._clock.seconds()
        ticket.marks.pop("started", None)
        attempt = Attempt(self._clock, self._roster, self._settings.timing, ticket, worker)
        self._running[ticket.task.id] = attempt
        attempt.done.addCallbacks(
            self._ended, self._lost, callbackArgs=(ticket, worker), errbackArgs=(ticket, worker)
        )
        attempt.done.addErrback(self._bug, ticket)
        attempt.start()

    def _ended(self, ended: Ended, ticket: Ticket, worker: Worker) -> None:
        """An attempt has a result, of the task's own doing or of ours."""
        self._running.pop(ticket.task.id, None)
        record = ticket.attempts[-1]
        record.ended_at = self._tickets.now()
        if failed_by_us(ended):
            self._recover(ticket, worker, ended)
        elif ended.outcome is Outcome.CANCELLED and ticket.stopping is None:
            record.counted = False
            text = "Its worker was told to stop and ended it."
            self._recover(ticket, worker, Ended(Outcome.NETWORK_FAIL, detail=text))
        else:
            self._finish(ticket, ended)

    def _lost(self, failure: Failure, ticket: Ticket, worker: Worker) -> None:
        """An attempt has no result: this errback feeds the retry queue."""
        self._running.pop(ticket.task.id, None)
        ticket.attempts[-1].ended_at = self._tickets.now()
        why = failure.getErrorMessage()[:500].rstrip(".")
        if failure.check(Refused):
            self._put_back(ticket, worker, why)
        elif failure.check(LinkLost):
            text = f"The link to its worker was lost: {why}."
            self._recover(ticket, worker, Ended(Outcome.NETWORK_FAIL, detail=text))
        else:
            log.failure("task {task} could not be sent out", failure, task=ticket.task.id)
            self._recover(
                ticket, worker, Ended(Outcome.INTERNAL_FAIL, detail=f"A fault of ours: {why}.")
            )

    def _put_back(self, ticket: Ticket, worker: Worker, why: str) -> None:
        """A worker did not take it: nothing has started, so nothing counts."""
        log.debug("worker {worker} refused {task}: {why}", worker=worker.name,
                  task=ticket.task.id, why=why)  # fmt: skip
        ticket.attempts.pop()
        ticket.move(State.PENDING)
        ticket.started_at = ticket.attempts[0].started_at if ticket.attempts else None
        self._backlog.put(ticket, again=True)
        if ticket.overdue:
            self._no_worker(ticket)

    def _recover(self, ticket: Ticket, worker: Worker, ended: Ended) -> None:
        record = ticket.attempts[-1]
        record.failure, record.reason = ended.outcome, ended.reason or ended.detail
        ticket.avoid.add(worker.name)
        decided = after_failure(ended, _counted(ticket), ticket.task.attempts, self._luck())
        if isinstance(decided, Final) or ticket.stopping is not None:
            self._finish(ticket, ended)
        else:
            self._retry(ticket, decided)

    def _retry(self, ticket: Ticket, retry: Retry) -> None:
        self._stop_start_timer(ticket)
        ticket.move(State.PENDING)
        self._retries.add(ticket, retry)

    def _again(self, ticket: Ticket) -> None:
        ticket.overdue = False
        self._wait_for_start(ticket)
        self._backlog.put(ticket, again=True)
        self.pump()

    def _wait_for_start(self, ticket: Ticket) -> None:
        self._start_timers[ticket.task.id] = self._clock.callLater(
            self._settings.start_timeout, self._no_worker, ticket
        )

    def _stop_start_timer(self, ticket: Ticket) -> None:
        call = self._start_timers.pop(ticket.task.id, None)
        if call is not None and call.active():
            call.cancel()

    def _no_worker(self, ticket: Ticket) -> None:
        if not self._backlog.remove(ticket):
            ticket.overdue = True  # an attempt is under way: it decides
            return
        seconds, language = self._settings.start_timeout, ticket.task.language
        fit = [each for each in self._roster if language in each.runtimes]
        state = f"{len(fit)} of {len(self._roster.workers)} linked workers have {language!r}"
        text = f"No worker that fits became free in {seconds:g} s: {state}."
        self._finish(ticket, Ended(Outcome.INTERNAL_FAIL, Reason.NO_WORKER, text))

    def _finish(self, ticket: Ticket, ended: Ended) -> None:
        self._stop_start_timer(ticket)
        ticket.marks["ended"] = self._clock.seconds()
        self._tickets.finish(ticket, ended)

    def _bug(self, failure: Failure, ticket: Ticket) -> None:
        log.failure("task {task}", failure, task=ticket.task.id)
        if ticket.state is not State.FINISH:
            self._running.pop(ticket.task.id, None)
            self._finish(ticket, Ended(Outcome.INTERNAL_FAIL, detail="A fault of the scheduler."))


def _counted(ticket: Ticket) -> int:
    """Give how many attempts count; one that may be started once has been started once."""
    if ticket.task.attempts == 1:
        return 1
    return max(1, sum(record.counted for record in ticket.attempts))
