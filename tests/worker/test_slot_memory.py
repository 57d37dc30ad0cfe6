"""Who keeps a job is killed with it for its memory: the job's end, and no fault of its slot's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from slot_bench import ENDED, Bench, a_bench

from runyard.protocols.limits import Limits
from runyard.protocols.tasks import Reason
from runyard.worker.sandbox.interface import SandboxError
from runyard.worker.sandbox.slot import SETTLE_S, SETTLE_TRIES
from runyard.worker.verdict import verdict


class FakeMeter:
    """Counts as the test says; after its removal nothing can be read."""

    def __init__(self, kills: int) -> None:
        self.counted = {"oom_kills": kills, "peak_bytes": 1 << 30, "group_cpu_s": 0.5}
        self.removed = self.left = 0

    def rests(self) -> bool:
        return self.left == 0

    def idle(self) -> None:
        """Nothing is noted."""

    def begin(self, limits: Limits, over: object) -> None:
        """Nothing is bounded."""

    def end(self) -> dict[str, Any]:
        return {} if self.removed else self.counted

    def remove(self) -> None:
        self.removed += 1


@contextlib.contextmanager
def running(kills: int = 1, *, started: bool = True) -> Iterator[tuple[Bench, Any]]:
    """Have a slot and its job, for some time if it has started."""
    with a_bench() as bench:
        bench.slot._meter = FakeMeter(kills)
        job = bench.run()
        if started:
            bench.says({"started": 1})
            bench.slot.reactor.advance(2.0)
        yield bench, job


def keeper_dies(bench: Bench) -> None:
    bench.says({"failed": "the task's keeper ended with 9"})


def zygote_dies(bench: Bench) -> None:
    bench.slot._lost()
    bench.exited()


def outcome(job: Any) -> str:
    """Give the reason, or why it failed."""
    told: list[Any] = []
    job.done.addBoth(told.append)
    (found,) = told
    if hasattr(found, "value"):
        assert isinstance(found.value, SandboxError)
        return "failed"
    ended = verdict(found, Limits(), None, "full")
    assert found.wall_s == 2.0
    assert found.cpu_s == 0.5
    return str(ended.reason.value) if ended.reason is not None else ""


@pytest.mark.parametrize("dies", [keeper_dies, zygote_dies])
@pytest.mark.parametrize("kills", [0, 1])
def test_a_job_whose_keeper_is_killed_for_memory_ends_for_that(dies: Any, kills: int) -> None:
    with running(kills) as (bench, job):
        dies(bench)
        assert outcome(job) == (Reason.MEMORY_LIMIT.value if kills else "failed")


@pytest.mark.parametrize("dies", [keeper_dies, zygote_dies])
def test_one_that_has_not_started_has_not_ended(dies: Any) -> None:
    with running(started=False) as (bench, job):
        dies(bench)
        assert outcome(job) == "failed"


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_one_whose_slot_is_ended_by_us_has_failed(end: str) -> None:
    with running() as (bench, job):
        getattr(bench.slot, end)()
        bench.exited()
        assert outcome(job) == "failed"


def test_a_slot_takes_no_job_until_the_last_one_s_memory_is_free() -> None:
    with a_bench() as bench:
        meter = FakeMeter(0)
        slot = bench.slot
        slot._meter = meter
        bench.says({"ready": True})
        bench.run()
        bench.says({"started": 1})
        meter.left = 1
        bench.says(ENDED)
        assert not slot.free
        bench.says({"ready": True})
        slot.reactor.advance(0.1)
        assert not slot.free
        meter.left = 0
        slot.reactor.advance(0.1)
        assert slot.free
        assert slot.ready


def test_memory_that_never_goes_holds_a_slot_up_for_a_while_only() -> None:
    with a_bench() as bench:
        meter = FakeMeter(0)
        bench.slot._meter = meter
        meter.left = 1
        bench.says({"ready": True})
        bench.slot.reactor.pump([SETTLE_S] * (SETTLE_TRIES - 1))
        assert not bench.slot.ready
        bench.slot.reactor.pump([SETTLE_S] * 2)
        assert bench.slot.ready
