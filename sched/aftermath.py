"""Brings every attempt's end to its ticket: finished, tried again, or put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import evolve
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.protocols.errors import LinkLost, Refused, Undelivered
from runyard.protocols.tasks import Ended, Outcome
from runyard.sched.recovery import (
    MOST_UNDELIVERED,
    Fault,
    Final,
    Retry,
    after_end,
    after_fault,
    failed_by_us,
    fault_of,
)
from runyard.sched.roster import Roster, Worker
from runyard.sched.tickets import Ticket

log = Logger()


class Ways(Protocol):
    """Where a ticket can go once its attempt is over."""

    def finish(self, ticket: Ticket, ended: Ended) -> None:
        """It ends so."""

    def retry(self, ticket: Ticket, retry: Retry) -> None:
        """It is tried again when it is due."""

    def put_back(self, ticket: Ticket) -> None:
        """Nothing has started: it waits for another worker."""


class Aftermath:
    """Asks the recovery policy what follows, keeps the books, and sends the ticket on."""

    def __init__(
        self,
        clock: IReactorTime,
        now: Callable[[], float],
        roster: Roster,
        ways: Ways,
        luck: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._now = now
        self._roster = roster
        self._ways = ways
        self._luck = luck

    def ended(self, ended: Ended, ticket: Ticket, worker: Worker) -> None:
        """An attempt has a result, of the task's own doing or of ours."""
        ticket.attempts[-1].ended_at = self._now()
        if failed_by_us(ended):
            self._recover(ticket, worker, ended, Fault.FAILED)
        elif ended.outcome is Outcome.CANCELLED and ticket.stopping is None:
            text = "Its worker was told to stop and ended it."
            self._recover(ticket, worker, Ended(Outcome.NETWORK_FAIL, detail=text), Fault.OURS)
        else:
            self._rate(ended, ticket, worker)
            self._own_end(ended, ticket)

    def lost(self, failure: Failure, ticket: Ticket, worker: Worker) -> None:
        """An attempt has no result: this errback feeds the retry queue."""
        error = failure.value
        why = failure.getErrorMessage()[:500].rstrip(".")
        ticket.attempts[-1].ended_at = self._now()
        if isinstance(error, Undelivered):
            tally = ticket.tally
            ticket.tally = evolve(tally, undelivered=tally.undelivered + 1)
            if ticket.tally.undelivered > MOST_UNDELIVERED:
                error = LinkLost(why)  # a worker that drops its link on each Run, say
        if isinstance(error, Refused):
            log.debug("worker {worker} refused {task}: {why}", worker=worker.name,
                      task=ticket.task.id, why=why)  # fmt: skip
            self._ways.put_back(ticket)
        elif isinstance(error, LinkLost):
            ended = Ended(Outcome.NETWORK_FAIL, detail=f"The link to its worker was lost: {why}.")
            self._recover(ticket, worker, ended, fault_of(error, draining=worker.draining))
        else:
            log.failure("task {task} could not be sent out", failure, task=ticket.task.id)
            ended = Ended(Outcome.INTERNAL_FAIL, detail=f"A fault of ours: {why}.")
            self._recover(ticket, worker, ended, Fault.FAILED)

    def _recover(self, ticket: Ticket, worker: Worker, ended: Ended, fault: Fault) -> None:
        record = ticket.attempts[-1]
        record.failure, record.reason = ended.outcome, ended.reason or ended.detail
        ticket.avoid.add(worker.name)
        ticket.tally = ticket.tally.with_fault(fault)
        if fault is not Fault.OURS:
            self._roster.failed(worker, ticket.task.id, record.reason)
        decided = after_fault(ended, ticket.tally, ticket.task.attempts, self._luck())
        self._go_on(ticket, ended, decided)

    def _own_end(self, ended: Ended, ticket: Ticket) -> None:
        decided = after_end(ended, ticket.task.retry, ticket.tally, self._luck())
        if isinstance(decided, Retry):
            record = ticket.attempts[-1]
            record.failure, record.reason = ended.outcome, ended.reason or ended.detail
            ticket.tally = evolve(ticket.tally, own=ticket.tally.own + 1)
        self._go_on(ticket, ended, decided)

    def _go_on(self, ticket: Ticket, ended: Ended, decided: Retry | Final) -> None:
        if isinstance(decided, Final):
            self._ways.finish(ticket, decided.ended)
        elif ticket.stopping is not None:
            self._ways.finish(ticket, ended)
        else:
            self._ways.retry(ticket, decided)

    def _rate(self, ended: Ended, ticket: Ticket, worker: Worker) -> None:
        if not ended.confirmed:
            self._roster.failed(worker, ticket.task.id, ended.detail)
            return
        overhead = None
        if ended.usage is not None and "dispatched" in ticket.marks:
            took = self._clock.seconds() - ticket.marks["dispatched"]
            overhead = took - ended.usage.wall_s
        worker.health.worked(overhead)
