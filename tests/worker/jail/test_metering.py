from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from fake_group import FakeGroup
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from runyard.protocols.limits import MIB, Limits
from runyard.worker.sandbox.cgroups import finding
from runyard.worker.sandbox.cgroups.files import GroupError
from runyard.worker.sandbox.cgroups.group import Counters
from runyard.worker.sandbox.cgroups.where import Base
from runyard.worker.sandbox.instance import Instance, leftovers
from runyard.worker.sandbox.jail.metering import (
    CLOSE_S,
    OURS,
    OWN,
    REMOVE_S,
    REMOVE_TRIES,
    Meter,
    Meters,
    memory_limit,
)

BROKEN = GroupError("/groups/g/x", OSError(errno.EACCES, "no"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def group() -> FakeGroup:
    return FakeGroup()


@pytest.fixture
def meter(clock: Clock, group: FakeGroup) -> Meter:
    return Meter(clock, group)  # type: ignore[arg-type]


@given(st.integers(0, 2**34), st.integers(16 * MIB, 1024 * MIB))
def test_a_task_gets_what_it_may_and_little_more(in_use: int, wanted: int) -> None:
    limit = memory_limit(in_use, wanted)
    assert 4 * MIB < limit - in_use - wanted <= 8 * MIB
    assert memory_limit(in_use // (4 * MIB) * (4 * MIB), wanted) == limit, "steps are few"


def test_a_slot_s_own_memory_is_noted_once_and_comes_on_top(meter: Meter, group: FakeGroup) -> None:
    def given() -> int:
        meter.begin(Limits(memory_bytes=64 * MIB), lambda: None)
        meter.end()
        return int(group.limits[-1][0])

    assert given() == memory_limit(OWN, 64 * MIB), "a job may come before the slot is ready"
    group.base_bytes = 40 * MIB
    meter.idle()
    assert given() == memory_limit(40 * MIB, 64 * MIB)
    group.base_bytes = 400 * MIB  # what tasks leave behind is not the slot's own
    meter.idle()
    assert given() == memory_limit(40 * MIB, 64 * MIB)


def test_a_slot_rests_once_what_its_job_had_is_free(meter: Meter, group: FakeGroup) -> None:
    meter.idle()
    assert meter.rests()
    group.own_now = 10 * MIB + 5 * MIB
    assert not meter.rests()
    for nothing_told in (None, BROKEN):
        group.own_now = None
        group.error = nothing_told
        assert meter.rests()


def test_a_slot_whose_own_memory_is_not_told_takes_it_as_usual(
    meter: Meter, group: FakeGroup
) -> None:
    group.base_bytes, group.error = None, BROKEN
    meter.idle()
    assert meter.base == OWN


def test_a_job_s_limits_are_the_group_s(meter: Meter, group: FakeGroup, clock: Clock) -> None:
    meter.idle()
    meter.begin(Limits(memory_bytes=64 * MIB, processes=5), lambda: None)
    ((memory, pids, cores),) = group.limits
    assert (memory, pids, cores) == (memory_limit(10 * MIB, 64 * MIB), 5 + OURS, 1.0)
    group.counters = Counters(2, 3, 0.1, 30 * MIB)
    assert meter.end() == {
        "oom_kills": 2, "pids_refused": 3, "peak_bytes": 20 * MIB, "group_cpu_s": 0.1,
    }  # fmt: skip
    assert not clock.getDelayedCalls()


def test_what_a_kernel_does_not_tell_is_not_told(meter: Meter, group: FakeGroup) -> None:
    group.counters = Counters(0, 0, None, None)
    meter.begin(Limits(), lambda: None)
    assert meter.end() == {"oom_kills": 0, "pids_refused": 0}
    group.error = BROKEN
    assert meter.end() == {}
    with pytest.raises(OSError, match="/groups/g/x"):
        meter.begin(Limits(), lambda: None)


def test_processor_time_of_all_is_looked_at_when_it_can_have_been_used(
    meter: Meter, group: FakeGroup, clock: Clock
) -> None:
    over: list[float] = []
    group.used = 100.0  # of earlier jobs
    meter.begin(Limits(cpu_s=2), lambda: over.append(clock.seconds()))
    clock.advance(1.9)
    group.used = 101.0
    clock.advance(0.2)
    assert (over, len(clock.getDelayedCalls())) == ([], 1), (
        "half is left: it looks again in a second"
    )
    clock.advance(0.9)
    group.used = 102.0
    assert not over
    clock.advance(0.2)
    assert len(over) == 1
    assert not clock.getDelayedCalls()


def test_a_look_that_fails_is_not_the_last(meter: Meter, group: FakeGroup, clock: Clock) -> None:
    over: list[float] = []
    meter.begin(Limits(cpu_s=1), lambda: over.append(clock.seconds()))
    group.error = BROKEN
    clock.advance(1.1)
    group.error, group.used = None, 1.5
    clock.advance(1.1)
    assert len(over) == 1


def test_a_job_that_ends_is_not_looked_at_any_more(meter: Meter, clock: Clock) -> None:
    for _ in range(2):
        meter.begin(Limits(), pytest.fail)
        meter.end()
        assert not clock.getDelayedCalls()
    meter.begin(Limits(), pytest.fail)
    meter.remove()
    assert not clock.getDelayedCalls()


def removed(meter: Meter) -> list[bool]:
    found: list[bool] = []
    meter.removed.addCallback(found.append)
    return found


def test_a_group_that_is_in_use_is_removed_later(
    meter: Meter, group: FakeGroup, clock: Clock
) -> None:
    group.busy = 3
    told = removed(meter)
    meter.remove()
    for _ in range(2):
        clock.advance(REMOVE_S)
    assert told == []
    clock.advance(REMOVE_S)
    assert told == [True]
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize("error", [None, BROKEN])
def test_one_that_stays_in_use_or_cannot_be_removed_is_given_up(
    meter: Meter, group: FakeGroup, clock: Clock, error: GroupError | None
) -> None:
    told = removed(meter)
    group.busy, group.error = 10**6, error
    meter.remove()
    clock.pump([REMOVE_S] * (REMOVE_TRIES + 1))
    assert told == [False]
    assert not clock.getDelayedCalls()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[FakeGroup]:
    found: list[FakeGroup] = []

    def make(base: Base, name: str) -> FakeGroup:
        found.append(FakeGroup(name))
        return found[-1]

    monkeypatch.setattr(finding, "make", make)
    return found


def paths(instance: Instance) -> list[str]:
    return [thing.path for thing in instance.things]


def closing(meters: Meters, clock: Clock) -> list[None]:
    done: list[None] = []
    Deferred.fromCoroutine(meters.close()).addCallback(done.append)
    return done


def meters_of(clock: Clock, state: Path) -> Meters:
    return Meters(clock, Base(1, {"memory": "/groups", "pids": "/groups"}), Instance(str(state)))


def test_a_name_is_written_down_first_and_used_again_when_its_group_is_gone(
    tmp_path: Path, clock: Clock, made: list[FakeGroup]
) -> None:
    meters = meters_of(clock, tmp_path)
    first, second = meters.make(), meters.make()
    assert paths(meters.instance) == first.paths + second.paths
    made[0].busy = 1
    first.remove()
    third = meters.make()
    assert third.paths not in (first.paths, second.paths), "it is still there"
    clock.advance(REMOVE_S)
    assert meters.make().paths == first.paths
    assert len(paths(meters.instance)) == 3
    meters.instance.release()


def test_a_run_is_forgotten_once_all_is_removed(
    tmp_path: Path, clock: Clock, made: list[FakeGroup]
) -> None:
    meters = meters_of(clock, tmp_path)
    meters.make().remove()
    slow = meters.make()
    made[-1].busy = 2
    slow.remove()
    done = closing(meters, clock)
    assert not done
    clock.pump([REMOVE_S] * 2)
    assert done
    assert not list((tmp_path / "instances").iterdir())
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize("error", [None, BROKEN])
def test_a_run_that_leaves_something_stays_written_down(
    tmp_path: Path, clock: Clock, made: list[FakeGroup], error: GroupError | None
) -> None:
    meters = meters_of(clock, tmp_path)
    stays = meters.make()
    made[0].busy, made[0].error = 10**6, error
    stays.remove()
    done = closing(meters, clock)
    clock.pump([REMOVE_S] * (int(CLOSE_S / REMOVE_S) + 2))
    assert done
    (held,) = leftovers(str(tmp_path))
    assert [thing.path for thing in held.things] == stays.paths
    held.release()


@pytest_twisted.ensureDeferred
async def test_a_group_that_cannot_be_made_is_an_error_of_the_system(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(base: Base, name: str) -> Any:
        raise BROKEN

    monkeypatch.setattr(finding, "make", make)
    meters = meters_of(clock, tmp_path)
    with pytest.raises(OSError, match="/groups/g/x"):
        meters.make()
    await meters.close()
    (held,) = leftovers(str(tmp_path))
    held.release()  # a part of it may be there
