from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from runyard.worker.sandbox.pool import (
    KILLED_S,
    RESPAWN_MOST_S,
    RESPAWN_S,
    STOP_S,
    SlotPool,
)


class FakeSlot:
    """A slot that does what the test says."""

    def __init__(self, number: int, early: bool) -> None:
        self.number = number
        self.early = early
        self.ready = False
        self.retired = False
        self.job: object = None
        self.runs = 0
        self.closed = self.abandoned = 0
        self.exited: Deferred[None] = Deferred()

    @property
    def free(self) -> bool:
        return self.job is None and self.ready and not self.closed

    def close(self) -> None:
        self.closed += 1

    def abandon(self) -> None:
        self.closed += 1
        self.abandoned += 1


class Yard:
    """A pool of fake slots."""

    def __init__(self, count: int, most_runs: int | None = None) -> None:
        self.clock = Clock()
        self.made: list[FakeSlot] = []
        self.fails = 0
        self.pool: Any = SlotPool(
            self.clock,
            count,
            self._make,
            lambda: succeed(None),
            most_runs,
        )
        self.pool.start()

    def _make(self, number: int, owner: object, early: bool) -> Any:
        if self.fails:
            self.fails -= 1
            raise OSError("no process is free")
        self.made.append(FakeSlot(number, early))
        return self.made[-1]

    def ready(self, slot: FakeSlot) -> None:
        slot.ready = True
        self.pool.idle(slot)

    def ends(self, slot: FakeSlot) -> None:
        self.pool.gone(slot)
        slot.exited.callback(None)


def test_all_slots_start_and_only_the_first_may_be_early() -> None:
    yard = Yard(3)
    assert [(each.number, each.early) for each in yard.made] == [(0, True), (1, True), (2, True)]
    yard.ends(yard.made[1])
    yard.clock.advance(RESPAWN_S)
    assert (yard.made[3].number, yard.made[3].early) == (1, False)


def test_a_free_slot_is_taken_and_one_that_is_retired_last() -> None:
    yard = Yard(2)
    assert yard.pool.take() is None
    old, new = yard.made
    old.ready = new.ready = old.retired = True
    assert yard.pool.take() is new
    new.job = object()
    assert yard.pool.take() is old
    old.close()
    assert yard.pool.take() is None


def test_no_two_tasks_run_with_one_number() -> None:
    yard = Yard(2, most_runs=1)
    old, other = yard.made
    yard.ready(old)
    old.runs, old.job = 1, object()
    yard.pool.worked(old)
    new = yard.made[-1]
    yard.ready(new)
    assert (new.number, new.free, yard.pool.take()) == (old.number, True, None)
    yard.ready(other)
    assert yard.pool.take() is other
    other.job, old.job = object(), None
    yard.pool.idle(old)
    assert yard.pool.take() is new
    old.closed, new.job = 0, object()  # as where the old one is about to end
    assert yard.pool.take() is None


def test_respawns_wait_longer_each_time_until_a_job_is_taken() -> None:
    yard = Yard(1)
    waits = []
    for _ in range(9):
        yard.ends(yard.pool.slots[0])
        (call,) = yard.clock.getDelayedCalls()
        waits.append(call.getTime() - yard.clock.seconds())
        yard.clock.advance(waits[-1])
    assert waits == [min(RESPAWN_S * 2**n, RESPAWN_MOST_S) for n in range(9)]
    yard.pool.worked(yard.pool.slots[0])
    yard.ends(yard.pool.slots[0])
    (call,) = yard.clock.getDelayedCalls()
    assert call.getTime() - yard.clock.seconds() == RESPAWN_S


def test_a_helper_that_cannot_be_started_is_tried_again() -> None:
    yard = Yard(1)
    yard.fails = 2
    yard.ends(yard.made[0])
    yard.clock.advance(RESPAWN_S)
    assert yard.pool.slots == []
    yard.clock.pump([RESPAWN_S * 2, RESPAWN_S * 4])
    assert [each.number for each in yard.pool.slots] == [0]


def test_after_some_jobs_a_slot_is_replaced_once_another_is_ready() -> None:
    yard = Yard(1, most_runs=2)
    (old,) = yard.made
    yard.ready(old)
    for _ in range(3):  # one more than that while the new one gets ready
        old.runs += 1
        yard.pool.worked(old)
    assert len(yard.made) == 2
    assert old.retired
    old.job = object()
    new = yard.made[1]
    yard.ready(new)
    assert not old.closed, "its job runs"
    old.job = None
    yard.pool.idle(old)
    assert old.closed
    assert not new.closed
    yard.ends(old)
    assert not yard.clock.getDelayedCalls(), "that end is no fault"
    assert yard.pool.slots == [new]


def test_a_retired_slot_whose_successor_fails_works_on() -> None:
    yard = Yard(1, most_runs=1)
    (old,) = yard.made
    yard.ready(old)
    old.runs = 1
    yard.pool.worked(old)
    yard.ends(yard.made[1])
    yard.pool.idle(old)
    assert not old.closed
    assert yard.pool.take() is old
    yard.clock.advance(RESPAWN_S)
    yard.ready(yard.made[2])
    assert old.closed


def test_all_are_given_up_at_once() -> None:
    yard = Yard(2)
    yard.pool.lose("what runs them is gone")
    assert [each.abandoned for each in yard.made] == [1, 1]


def stopping(yard: Yard) -> list[bool]:
    told: list[bool] = []
    Deferred.fromCoroutine(yard.pool.stop()).addCallback(told.append)
    return told


def test_a_stop_waits_for_the_ends_and_starts_nothing() -> None:
    yard = Yard(2)
    yard.ends(yard.made[0])
    told = stopping(yard)
    assert (yard.made[1].closed, told) == (1, [])
    yard.ends(yard.made[1])
    assert told == [True]
    assert not yard.clock.getDelayedCalls()


@pytest.mark.parametrize("goes", [True, False])
def test_a_stop_kills_what_does_not_end_and_says_so(goes: bool) -> None:
    yard = Yard(1)
    told = stopping(yard)
    yard.clock.advance(STOP_S)
    assert (yard.made[0].abandoned, told) == (1, [])
    if goes:
        yard.ends(yard.made[0])
    else:
        yard.clock.advance(KILLED_S)
    assert told == [False], "what its job left is to be looked for"
    assert not yard.clock.getDelayedCalls()
