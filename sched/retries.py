"""The retry queue: tickets whose last attempt failed, each until its time."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from runyard.sched.recovery import Retry
from runyard.sched.tickets import Ticket


@define
class _Entry:
    ticket: Ticket
    call: IDelayedCall


class Retries:
    """Holds tickets and hands them back when they are due."""

    def __init__(self, clock: IReactorTime, due: Callable[[Ticket], None]) -> None:
        self._clock = clock
        self._due = due
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, ticket: Ticket, retry: Retry) -> None:
        """Hold a ticket until its back-off is over."""
        call = self._clock.callLater(retry.delay, self._fire, ticket.task.id)
        self._entries[ticket.task.id] = _Entry(ticket, call)

    def remove(self, ticket: Ticket) -> bool:
        """Take a ticket out; False when it is not in."""
        entry = self._entries.pop(ticket.task.id, None)
        if entry is None:
            return False
        entry.call.cancel()
        return True

    def _fire(self, task_id: str) -> None:
        self._due(self._entries.pop(task_id).ticket)
