"""A worker's slots: kept in number, whatever becomes of their helpers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from runyard.daemon.waiting import follow, within
from runyard.worker.sandbox.slot import Owner, Slot

RESPAWN_S = 0.5
RESPAWN_MOST_S = 30.0
STOP_S = 5.0
KILLED_S = 2.0

Make = Callable[[int, Owner, bool], Slot]
"""Makes a slot of a number for its owner; the last says whether it may be an early one."""

log = Logger()


class SlotPool:
    """Starts slots, again after a while where one ends, and replaces each after some jobs.

    Attributes:
        slots: Those that are there, ready or not.
    """

    def __init__(
        self,
        reactor: Any,
        count: int,
        make: Make,
        after: Callable[[], Deferred[None]],
        most_runs: int | None = None,
    ) -> None:
        self.slots: list[Slot] = []
        self._reactor = reactor
        self._count = count
        self._make = make
        self._after = after
        self._most_runs = most_runs
        self._exits: list[Deferred[None]] = []
        self._respawns: list[IDelayedCall] = []
        self._delay = RESPAWN_S
        self._stopping = False

    def start(self) -> None:
        """Start them all."""
        for number in range(self._count):
            self._spawn(number, early=True)

    def take(self) -> Slot | None:
        """Give a slot that takes a job now, a ready one first.

        None whose number another has a job with: both have one uid, and two tasks never do.
        """
        busy = {each.number for each in self.slots if each.job is not None}
        free = [each for each in self.slots if each.free and each.number not in busy]
        if not free:
            return None
        return max(free, key=lambda each: (each.ready, not each.retired))

    def worked(self, slot: Slot) -> None:
        """A job was handed to it: what failed before is over; after many it is replaced."""
        self._delay = RESPAWN_S
        if self._most_runs is not None and slot.runs >= self._most_runs and not slot.retired:
            slot.retired = True
            self._spawn(slot.number)

    def idle(self, slot: Slot) -> None:
        """A retired slot goes once it has no job, and another is ready in its place."""
        alike = [each for each in self.slots if each.number == slot.number]
        if any(each.ready and not each.retired for each in alike):
            for each in alike:
                if each.retired and each.job is None:
                    each.close()

    def gone(self, slot: Slot) -> Deferred[None]:
        """Its helper has ended; fires when nothing of its job is left."""
        self.slots.remove(slot)
        if self._stopping:
            return succeed(None)
        if not slot.retired:
            self._respawn(slot.number, "a slot's helper ended")
        return self._after()

    def lose(self, why: str) -> None:
        """Give up all of them: what runs them is gone."""
        log.error("all slots are given up: {why}", why=why)
        for slot in list(self.slots):
            slot.abandon()

    async def stop(self) -> bool:
        """End every job and helper; False where some had to be killed, and their jobs may live."""
        self._stopping = True
        for call in self._respawns:
            if call.active():
                call.cancel()
        for slot in self.slots:
            slot.close()
        gone = gatherResults(self._exits)
        if await within(self._reactor, follow(gone), STOP_S):
            return True
        log.warn("{count} helpers do not end by themselves and are killed", count=len(self.slots))
        for slot in self.slots:
            slot.abandon()
        await within(self._reactor, follow(gone), KILLED_S)
        return False

    def _spawn(self, number: int, *, early: bool = False) -> None:
        self._respawns = [call for call in self._respawns if call.active()]
        try:
            slot = self._make(number, self, early)
        except OSError as error:
            self._respawn(number, f"a slot's helper could not be started: {error}")
            return
        self.slots.append(slot)
        self._exits.append(slot.exited)
        slot.exited.addCallback(lambda _: self._exits.remove(slot.exited))

    def _respawn(self, number: int, why: str) -> None:
        log.error("{why}; a new one in {delay:g} s", why=why, delay=self._delay)
        self._respawns.append(self._reactor.callLater(self._delay, self._spawn, number))
        self._delay = min(self._delay * 2, RESPAWN_MOST_S)
