"""The tasks that wait for a slot: bounded, by runtime, by priority, then by age."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from runyard.sched.tickets import Ticket


class Full(Exception):
    """The backlog takes no more."""


class Backlog:
    """A queue for each runtime. Adding, taking and removing cost the same however long it is."""

    def __init__(self, max_tasks: int, max_bytes: int) -> None:
        self._max_tasks = max_tasks
        self._max_bytes = max_bytes
        self._queues: dict[str, dict[int, OrderedDict[str, Ticket]]] = {}
        self._count = 0
        self.bytes = 0

    def __len__(self) -> int:
        return self._count

    def check(self, size: int) -> None:
        """See whether a task of this many bytes has room.

        Raises:
            Full: it has not.
        """
        if self._count >= self._max_tasks:
            raise Full(f"{self._count} tasks are waiting, the most allowed")
        if self.bytes + size > self._max_bytes:
            raise Full(f"waiting tasks hold {self.bytes} bytes, with this one more than allowed")

    def put(self, ticket: Ticket, *, again: bool = False) -> None:
        """Add a ticket; one that comes `again` after a failed attempt goes first of its priority.

        It is not bounded here: `check` comes first for what is new, and what was taken is kept.
        """
        levels = self._queues.setdefault(ticket.task.language, {})
        queue = levels.setdefault(ticket.task.priority, OrderedDict())
        queue[ticket.task.id] = ticket
        if again:
            queue.move_to_end(ticket.task.id, last=False)
        self._count += 1
        self.bytes += ticket.task.size

    def remove(self, ticket: Ticket) -> bool:
        """Take a ticket out; False when it is not in."""
        task = ticket.task
        levels = self._queues.get(task.language, {})
        queue = levels.get(task.priority, OrderedDict())
        if queue.pop(task.id, None) is None:
            return False
        self._count -= 1
        self.bytes -= task.size
        if not queue:
            del levels[task.priority]
        if not levels:
            del self._queues[task.language]
        return True

    def runtimes(self) -> list[str]:
        """Give the runtimes for which something waits."""
        return list(self._queues)

    def first(self, runtime: str) -> Ticket | None:
        """Give the next ticket of a runtime without taking it out."""
        return next(self._in_order(runtime), None)

    def position(self, ticket: Ticket) -> int | None:
        """Give a ticket's place among its runtime's, from 1; None when it is not in."""
        for place, other in enumerate(self._in_order(ticket.task.language), 1):
            if other is ticket:
                return place
        return None

    def __iter__(self) -> Iterator[Ticket]:
        for runtime in self.runtimes():
            yield from self._in_order(runtime)

    def _in_order(self, runtime: str) -> Iterator[Ticket]:
        levels = self._queues.get(runtime, {})
        for priority in sorted(levels, reverse=True):
            yield from levels[priority].values()
