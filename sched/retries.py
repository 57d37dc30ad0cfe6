"""The retry queue: tickets whose last attempt failed, each until its time."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from runyard.sched.recovery import Retry
from runyard.sched.tickets import Ticket
from twisted.internet.interfaces import IDelayedCall, IReactorTime


@define
class _Entry:
    ticket: Ticket
    call: IDelayedCall
    earliest: float
    boot: str


class Retries:
    """Holds tickets and hands them back when they are due."""

    def __init__(self, clock: IReactorTime, due: Callable[[Ticket], None]) -> None:
        self._clock = clock
        self._due = due
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, ticket: Ticket, retry: Retry, boot: str) -> None:
        """Hold a ticket; `boot` is the worker process that had its lost attempt."""
        now = self._clock.seconds()
        wait = max(retry.delay, retry.hold)
        call = self._clock.callLater(wait, self._fire, ticket.task.id)
        self._entries[ticket.task.id] = _Entry(ticket, call, now + retry.delay, boot)

    def dead(self, boot: str) -> None:
        """A worker process is proven dead: its attempts need no longer wait for it."""
        now = self._clock.seconds()
        for entry in self._entries.values():
            if entry.boot == boot:
                entry.call.reset(max(0.0, entry.earliest - now))

    def remove(self, ticket: Ticket) -> bool:
        """Take a ticket out; False when it is not in."""
        entry = self._entries.pop(ticket.task.id, None)
        if entry is None:
            return False
        entry.call.cancel()
        return True

    def _fire(self, task_id: str) -> None:
        self._due(self._entries.pop(task_id).ticket)
