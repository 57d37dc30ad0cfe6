"""Brings waiting tasks and free slots together."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import partial

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.protocols.tasks import Ended, Outcome, Reason, State, Task, cancelled
from runyard.sched.aftermath import Aftermath
from runyard.sched.attempts import Attempt, Timing
from runyard.sched.backlog import Backlog, Lane
from runyard.sched.deadlines import StartDeadlines, shortage
from runyard.sched.evaluator import Choice, choose
from runyard.sched.needs import need_of
from runyard.sched.recovery import Retry
from runyard.sched.retries import Retries
from runyard.sched.roster import Roster, Worker
from runyard.sched.solitude import Solitude
from runyard.sched.tickets import AttemptRecord, Ticket, Tickets

CHOICES_KEPT = 64

log = Logger()


@frozen
class Settings:
    """Seconds until a task that fits nowhere ends, and those of an attempt."""

    start_timeout: float = 300.0
    timing: Timing = field(factory=Timing)


class Draining(Exception):
    """The scheduler takes nothing new."""


@frozen
class Placed:
    """A task that was given to a worker, when (Unix seconds), and why to that one."""

    at: float
    task: str
    language: str
    choice: Choice
    alone: bool


class Dispatcher:
    """Takes tasks in, starts their attempts, and finishes their tickets.

    Attributes:
        choices: The last placements, for whoever wants to see why.
    """

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
        self.choices: deque[Placed] = deque(maxlen=CHOICES_KEPT)
        self._clock = clock
        self._tickets = tickets
        self._backlog = backlog
        self._roster = roster
        self._settings = settings
        self._running: dict[str, Attempt] = {}
        self._retries = Retries(clock, self._again)
        self._deadlines = StartDeadlines(clock, settings.start_timeout, self._no_worker)
        self._solitude = Solitude(roster)
        self._aftermath = Aftermath(clock, tickets.now, roster, self, luck)
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
        ticket.queued_at = ticket.marks["queued"] = self._clock.seconds()
        self._deadlines.start(ticket)
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
        self.finish(ticket, cancelled(reason, "It was cancelled before it started."))

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
            for lane in self._backlog.lanes():
                if lane.alone:
                    self._start_suspects(lane)
                else:
                    while self._start_next(lane):
                        pass
        finally:
            self._pumping = False

    def _start_next(self, lane: Lane) -> bool:
        workers = {each.name: each for each in self._roster.with_room(lane.need)}
        ticket = self._backlog.first(lane) if workers else None
        if ticket is None:
            return False
        choice = choose([each.candidate() for each in workers.values()], frozenset(ticket.avoid))
        if choice.name is None:
            return False
        self._start(ticket, workers[choice.name], choice)
        return True

    def _start_suspects(self, lane: Lane) -> None:
        """Start those that must run alone, each where a worker has become idle for it."""
        for ticket in self._solitude.next(self._backlog.in_order(lane), lane.need):
            placed = self._solitude.place(ticket)
            if placed is not None:
                self._start(ticket, *placed)

    def _start(self, ticket: Ticket, worker: Worker, choice: Choice) -> None:
        self._backlog.remove(ticket)
        now = self._tickets.now()
        task = ticket.task
        self.choices.append(Placed(now, task.id, task.language, choice, ticket.tally.suspect))
        ticket.move(State.RUNNING)
        ticket.started_at = ticket.started_at or now
        ticket.attempts.append(AttemptRecord(len(ticket.attempts) + 1, worker.name, now))
        ticket.marks["dispatched"] = self._clock.seconds()
        ticket.marks.pop("started", None)
        attempt = Attempt(self._clock, self._roster, self._settings.timing, ticket, worker)
        self._running[ticket.task.id] = attempt
        over = attempt.done.addBoth(partial(self._over, ticket))
        over.addCallbacks(
            self._aftermath.ended, self._aftermath.lost,
            callbackArgs=(ticket, worker), errbackArgs=(ticket, worker),
        )  # fmt: skip
        over.addErrback(self._bug, ticket)
        attempt.start()

    def _over(self, ticket: Ticket, result: Ended | Failure) -> Ended | Failure:
        del self._running[ticket.task.id]
        self._solitude.leave(ticket)
        return result

    def put_back(self, ticket: Ticket) -> None:
        """A worker did not take it: nothing has started, so nothing counts."""
        ticket.attempts.pop()
        ticket.move(State.PENDING)
        ticket.started_at = ticket.attempts[0].started_at if ticket.attempts else None
        self._backlog.put(ticket, again=True)
        if ticket.overdue:
            self._no_worker(ticket)

    def retry(self, ticket: Ticket, retry: Retry) -> None:
        """Try it again when it is due."""
        self._deadlines.stop(ticket)
        ticket.move(State.PENDING)
        self._retries.add(ticket, retry)

    def _again(self, ticket: Ticket) -> None:
        ticket.overdue = False
        self._deadlines.start(ticket)
        self._backlog.put(ticket, again=True)
        self.pump()

    def _no_worker(self, ticket: Ticket) -> None:
        if not self._backlog.remove(ticket):
            ticket.overdue = True  # an attempt is under way: it decides
            return
        state = shortage(need_of(ticket.task), self._roster, self._roster.unreachable)
        text = f"No worker that fits became free in {self._deadlines.seconds:g} s: {state}."
        self.finish(ticket, Ended(Outcome.INTERNAL_FAIL, Reason.NO_WORKER, text))

    def finish(self, ticket: Ticket, ended: Ended) -> None:
        """End a task."""
        self._deadlines.stop(ticket)
        self._solitude.leave(ticket)
        ticket.marks["ended"] = self._clock.seconds()
        self._tickets.finish(ticket, ended)

    def _bug(self, failure: Failure, ticket: Ticket) -> None:
        log.failure("task {task}", failure, task=ticket.task.id)
        if ticket.state is not State.FINISH:
            self._running.pop(ticket.task.id, None)
            self.finish(ticket, Ended(Outcome.INTERNAL_FAIL, detail="A fault of the scheduler."))
