"""Workers kept for one task each: for tasks that may have killed a worker, and run alone next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from runyard.protocols.tasks import State
from runyard.sched.evaluator import Candidate, Choice, choose
from runyard.sched.needs import Need, need_of
from runyard.sched.roster import Roster, Worker
from runyard.sched.tickets import Ticket


class Solitude:
    """Empties a worker for a suspect and keeps it for that one until it has ended.

    A kept worker gets nothing else: it is idle once what it runs has ended. At most half of the
    workers are kept at a time (but one always may be), so that the others' tasks go on.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._kept: dict[str, tuple[Ticket, Worker]] = {}

    def next(self, waiting: Iterator[Ticket], need: Need) -> list[Ticket]:
        """Give the suspects of one need that may be placed now: who has a worker goes first."""
        for ticket, worker in list(self._kept.values()):
            if not self._usable(worker):
                self.leave(ticket)
        have = [
            ticket
            for ticket, _ in self._kept.values()
            if ticket.state is State.PENDING and need_of(ticket.task) == need
        ]
        others = (ticket for ticket in waiting if ticket.task.id not in self._kept)
        most = max(1, len(self._roster.workers) // 2)
        return [*have, *islice(others, max(0, most - len(self._kept)))]

    def place(self, ticket: Ticket) -> tuple[Worker, Choice] | None:
        """Give an idle worker for a suspect, or None where one has yet to become idle."""
        _, worker = self._kept.get(ticket.task.id, (ticket, None))
        if worker is None:
            worker = self._keep_one(ticket)
        if worker is None or worker.running or worker.room <= 0:
            return None
        return worker, choose([_alone(worker)], frozenset(ticket.avoid))

    def leave(self, ticket: Ticket) -> None:
        """The suspect has ended, or waits elsewhere: its worker is everybody's again."""
        _, worker = self._kept.pop(ticket.task.id, (ticket, None))
        if worker is not None and worker.kept_for == ticket.task.id:
            worker.kept_for = None
            self._roster.refresh(worker)

    def _usable(self, worker: Worker) -> bool:
        linked = self._roster.workers.get(worker.name) is worker
        return linked and worker.takes_work and not worker.quarantined

    def _keep_one(self, ticket: Ticket) -> Worker | None:
        found = self._roster.with_room(need_of(ticket.task))
        usable = [worker for worker in found if not worker.quarantined]
        idle = [worker for worker in usable if not worker.running]
        worker = _best(ticket, idle) or _best(ticket, usable)
        if worker is not None:
            self._kept[ticket.task.id] = (ticket, worker)
            worker.kept_for = ticket.task.id
            self._roster.refresh(worker, tell=False)
        return worker


def _best(ticket: Ticket, workers: Sequence[Worker]) -> Worker | None:
    choice = choose([each.candidate() for each in workers], frozenset(ticket.avoid))
    return next((each for each in workers if each.name == choice.name), None)


def _alone(worker: Worker) -> Candidate:
    """An idle worker that is kept for a suspect, as the evaluator sees it."""
    health = worker.health
    return Candidate(worker.name, worker.slots, worker.slots, health.failures, health.overhead_s)
