"""The tasks that wait for a slot: bounded, by runtime, by priority and age."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from runyard.sched.needs import Need, need_of
from runyard.sched.tickets import Ticket

AGE_S = 3.0
"""Seconds of waiting that weigh as one step of priority, so that nothing starves."""


class Lane(NamedTuple):
    """What its tasks need, and whether each runs alone on a worker."""

    need: Need
    alone: bool = False


class Full(Exception):
    """The backlog takes no more."""


def urgency(ticket: Ticket) -> float:
    """Give what orders waiting tasks; as all age alike, it does not change while they wait."""
    return ticket.task.priority - ticket.queued_at / AGE_S


def lane_of(ticket: Ticket) -> Lane:
    """Give the lane that a ticket waits in."""
    return Lane(need_of(ticket.task), ticket.tally.suspect)


class Backlog:
    """A queue for each lane. Adding, taking and removing cost the same however long it is."""

    def __init__(self, max_tasks: int, max_bytes: int) -> None:
        self._max_tasks = max_tasks
        self._max_bytes = max_bytes
        self._lanes: dict[Lane, dict[int, OrderedDict[str, Ticket]]] = {}
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
        levels = self._lanes.setdefault(lane_of(ticket), {})
        queue = levels.setdefault(ticket.task.priority, OrderedDict())
        queue[ticket.task.id] = ticket
        if again:
            queue.move_to_end(ticket.task.id, last=False)
        self._count += 1
        self.bytes += ticket.task.size

    def remove(self, ticket: Ticket) -> bool:
        """Take a ticket out; False when it is not in."""
        task, lane = ticket.task, lane_of(ticket)
        levels = self._lanes.get(lane, {})
        queue = levels.get(task.priority, OrderedDict())
        if queue.pop(task.id, None) is None:
            return False
        self._count -= 1
        self.bytes -= task.size
        if not queue:
            del levels[task.priority]
        if not levels:
            del self._lanes[lane]
        return True

    def lanes(self) -> list[Lane]:
        """Give the lanes in which something waits, those of tasks that run alone first."""
        return sorted(self._lanes, key=lambda lane: not lane.alone)

    def first(self, lane: Lane) -> Ticket | None:
        """Give the next ticket of a lane without taking it out."""
        return next(self.in_order(lane), None)

    def position(self, ticket: Ticket) -> int | None:
        """Give a ticket's place in its lane, from 1; None when it is not in."""
        for place, other in enumerate(self.in_order(lane_of(ticket)), 1):
            if other is ticket:
                return place
        return None

    def __iter__(self) -> Iterator[Ticket]:
        for lane in self.lanes():
            yield from self.in_order(lane)

    def in_order(self, lane: Lane) -> Iterator[Ticket]:
        """Give the tickets of a lane, the next one first."""
        queues = [queue.values() for queue in self._lanes.get(lane, {}).values()]
        return heapq.merge(*queues, key=lambda ticket: -urgency(ticket))
