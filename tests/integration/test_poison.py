"""A task that kills its worker each time, among two hundred that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
from crew import counts, finished, look, post
from harness import System, eventually, system, words
from witness import Run, Witness, witness

GOOD = 200
FIRST = 20
LONG_S = 100.0
MOST_KILLS = 10


def kill_the_worker_of(run: Run) -> None:
    """Do what a task that runs as another user cannot do itself."""
    above = psutil.Process(run.pid).parents()
    next(each for each in above if "--local" in words(each)).kill()


def poisoned(running: System, seen: Witness, task: str) -> int:
    """Kill the worker under each run of the task until it is given up; tell how often."""
    killed: list[Run] = []

    def over() -> bool:
        return bool(look(running, task)["state"] == "finish")

    def runs_or_over() -> bool:
        return len(seen.of("poison")) > len(killed) or over()

    while True:
        eventually("it runs, or is given up", runs_or_over, 90)
        if over():
            return len(killed)
        killed.append(seen.of("poison")[-1])
        kill_the_worker_of(killed[-1])
        assert len(killed) < MOST_KILLS, "it is never given up"


def beside(attempt: dict[str, Any], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """List the attempts of others that were on the worker together with this one."""
    return [
        other
        for other in others
        if other["worker"] == attempt["worker"]
        and other["started_at"] < attempt["ended_at"]
        and other["ended_at"] > attempt["started_at"]
    ]


@pytest.mark.slow
def test_a_task_that_kills_its_workers_ends_alone_and_the_others_succeed(tmp_path: Path) -> None:
    options = ("--local-workers=2", "--slots=2")
    with witness() as seen, system(tmp_path, *options) as running:
        eventually("both workers are there", lambda: len(running.workers()) == 2)
        good = [post(running, seen.program(f"g{n}", 0.3), timeout=60) for n in range(FIRST)]
        poison = post(running, seen.program("poison", LONG_S), timeout=200)
        good += [post(running, seen.program(f"g{n}", 0.3), timeout=60) for n in range(FIRST, GOOD)]
        kills = poisoned(running, seen, poison)
        documents = finished(running, good, 120)
        (bad,) = finished(running, [poison])
        assert counts(running)["unfinished"] == 0
        runs = seen.runs()
        seen.check_that_none_ran_in_two_places()
    assert {document["outcome"] for document in documents} == {"success"}
    assert all(any(run.ended for run in runs[f"g{n}"]) for n in range(GOOD))
    assert (bad["outcome"], bad["reason"]) == ("network_fail", "poison")
    assert [each["failure"] for each in bad["attempts"]] == ["network_fail"] * kills
    others = [attempt for document in documents for attempt in document["attempts"]]
    lone = [attempt for attempt in bad["attempts"] if not beside(attempt, others)]
    assert len(lone) == 2, "two losses of its own are proof"
    assert bad["attempts"][-2:] == lone, "and nothing else is tried"
