"""A slot and its job's way out, without a reactor that runs: who closes what, and when."""

from __future__ import annotations

import socket
from typing import Any

from slot_bench import ENDED, a_bench

from runyard.worker.sandbox.interface import SandboxError


def test_the_end_is_told_when_the_way_is_closed() -> None:
    with a_bench() as bench:
        job = bench.run()
        bench.listens()
        (way,) = bench.ways
        assert (way.attempt, way.stopped) == ("a.1", None)
        bench.says({"started": 1})
        bench.says(ENDED)
        assert way.stopped is not None, "it closes at once"
        assert not job.done.called
        way.stopped.callback(None)
        assert job.done.result.status == 0


def test_a_job_that_fails_closes_its_way_too() -> None:
    with a_bench() as bench:
        job = bench.run()
        bench.listens()
        bench.says({"failed": "no room"})
        (way,) = bench.ways
        assert way.stopped is not None
        way.stopped.callback(None)
        failed: list[Any] = []
        job.done.addErrback(failed.append)
        assert failed[0].check(SandboxError)


def test_a_way_without_a_descriptor_fails_the_job_and_its_helper(logged_failures: Any) -> None:
    with a_bench() as bench:
        job = bench.run()
        bench.says({"listens": 1})
        assert bench.kills == 1
        bench.exited()
        failed: list[Any] = []
        job.done.addErrback(failed.append)
        assert "no way out can be served" in str(failed[0].value)


def test_descriptors_that_nobody_asked_for_are_closed() -> None:
    with a_bench() as bench:
        bench.listens()
        with socket.socket() as made:
            bench.says({"ready": True}, (made.fileno(), made.fileno()))
        assert bench.ways == []


def test_a_busy_helper_gets_no_job_until_it_says_that_it_is_ready() -> None:
    for end in (ENDED, {"failed": "no room"}):
        with a_bench() as bench:
            bench.says({"ready": True})
            job = bench.run()
            job.done.addErrback(lambda _: None)
            bench.says(end | {"busy": True})
            assert bench.slot.job is None
            assert not bench.slot.free
            bench.says({"ready": True})
            assert bench.slot.free
