"""Workers that are killed or frozen under their tasks."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from crew import Crew, counts, crew, finished, links, look, post
from harness import System, eventually, system, words
from witness import Witness, witness

LONG_S = 60.0
RUNNING = 4
WAITING = 40


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def below(worker: psutil.Process) -> list[psutil.Process]:
    found: list[psutil.Process] = worker.children(recursive=True)
    return found


class Doomed:
    """Four tasks that run, and forty that wait behind them."""

    def __init__(self, running: System, seen: Witness) -> None:
        self._running = running
        self._seen = seen
        self.hit = [
            post(running, seen.program(f"hit{n}", LONG_S, 0.2), timeout=120) for n in range(RUNNING)
        ]
        eventually("they run", lambda: len(seen.runs()) == RUNNING)
        self.waiting = [post(running, seen.program(f"wait{n}", 0.05)) for n in range(WAITING)]

    def check(self) -> None:
        hit = finished(self._running, self.hit)
        waited = finished(self._running, self.waiting)
        assert {each["outcome"] for each in hit + waited} == {"success"}
        for each in hit:
            failures = [(a["number"], a["failure"]) for a in each["attempts"]]
            assert failures == [(1, "network_fail"), (2, None)]
        assert {len(each["attempts"]) for each in waited} == {1}
        runs = self._seen.runs()
        for number, each in enumerate(hit):
            first, second = runs[f"hit{number}"]
            assert (first.ended, second.ended) == (False, True)
            assert each["stdout"] == f"{second.pid}\n"
        assert all(len(runs[f"wait{number}"]) == 1 for number in range(WAITING))
        self._seen.check_that_none_ran_in_two_places()
        assert counts(self._running)["unfinished"] == 0


def test_what_a_killed_worker_ran_runs_on_another_and_is_recorded_once(tmp_path: Path) -> None:
    options = links(2)
    with witness() as seen, crew(tmp_path, *options, slots=(RUNNING, 2), start=1) as made:
        first, second = made.hands
        doomed = Doomed(made.running, seen)
        second.start()
        eventually("the other is there", lambda: made.linked() == {"w1", "w2"})
        left = below(first.process)
        first.kill()
        eventually("nothing of it is left", lambda: not any(map(lives, left)), 5)
        doomed.check()
        assert {look(made.running, each)["attempts"][1]["worker"] for each in doomed.hit} == {"w2"}
        assert "Traceback" not in made.running.daemon.read()


@pytest.mark.slow
def test_what_a_killed_local_worker_ran_runs_on_its_successor(tmp_path: Path) -> None:
    with witness() as seen, system(tmp_path, f"--slots={RUNNING}") as running:
        doomed = Doomed(running, seen)
        worker = next(each for each in running.processes() if "--local" in words(each))
        left = below(worker)
        worker.kill()
        eventually("nothing of it is left", lambda: not any(map(lives, left)), 5)
        doomed.check()
        assert "Traceback" not in running.daemon.read()


@pytest.mark.slow
def test_the_client_of_a_task_whose_worker_is_killed_hears_of_the_end_alone(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    options = links(2)
    with witness() as seen, crew(tmp_path, *options, slots=(1, 1), start=1) as made:
        call = threads.submit(made.running.get, seen.program("once", LONG_S, 0.2), timeout=120)
        eventually("it runs", lambda: seen.of("once"))
        made.hands[1].start()
        eventually("the other is there", lambda: made.linked() == {"w1", "w2"})
        left = below(made.hands[0].process)
        made.hands[0].kill()
        eventually("nothing of it is left", lambda: not any(map(lives, left)), 5)
        answer = call.result(30)
        assert (answer.status_code, answer.text) == (200, f"{seen.of('once')[-1].pid}\n")
        document = look(made.running, answer.headers["X-Task-Id"])
        assert [each["worker"] for each in document["attempts"]] == ["w1", "w2"]
        seen.check_that_none_ran_in_two_places()


class Frozen:
    """A worker that is stopped under two tasks, of which one ends by itself meanwhile."""

    TOKENS = ("short", "long")

    def __init__(self, made: Crew, seen: Witness) -> None:
        first = [seen.program("short", 1.5, 0.3), seen.program("long", LONG_S, 0.3)]
        self.tasks = [post(made.running, code, timeout=120) for code in first]
        eventually("both run", lambda: len(seen.runs()) == 2)
        made.hands[1].start()
        eventually("the other is there", lambda: made.linked() == {"w1", "w2"})
        eventually("it runs well", lambda: seen.of("long")[0].last - seen.of("long")[0].start > 0.2)
        made.hands[0].send(signal.SIGSTOP)


@pytest.mark.slow
def test_a_frozen_worker_s_tasks_go_elsewhere_and_its_old_results_are_discarded(
    tmp_path: Path,
) -> None:
    with witness() as seen, crew(tmp_path, *links(3), slots=(2, 2), start=1) as made:
        running = made.running
        (boot,) = [worker["boot"] for worker in running.workers()]
        frozen = Frozen(made, seen)
        (beside,) = finished(running, [post(running, seen.program("beside", 0.1))])
        documents = finished(running, frozen.tasks)
        assert made.linked() == {"w2"}
        made.hands[0].send(signal.SIGCONT)
        eventually("it is there again", lambda: made.linked() == {"w1", "w2"})
        again(made, seen)
        assert boot in {worker["boot"] for worker in running.workers()}
        for token, document in zip(frozen.TOKENS, documents, strict=True):
            assert document["outcome"] == "success"
            assert [each["worker"] for each in document["attempts"]] == ["w1", "w2"]
            assert beside["finished_at"] < document["attempts"][1]["started_at"], "no wait for it"
            first, second = seen.of(token)
            assert second.ended
            assert document["stdout"] == f"{second.pid}\n"
            assert first.ended == (token == "short"), "the long one's lease has ended it"
        assert finished(running, frozen.tasks) == documents, "nothing changes later"
        seen.check_that_none_ran_in_two_places()
        assert "Traceback" not in running.daemon.read()


def again(made: Crew, seen: Witness) -> None:
    """See that the worker that was frozen gets work, and does it."""
    tasks = [post(made.running, seen.program(f"again{n}", 0.5)) for n in range(4)]
    documents = finished(made.running, tasks, 30)
    assert {each["outcome"] for each in documents} == {"success"}
    assert {each["attempts"][0]["worker"] for each in documents} == {"w1", "w2"}
    assert {len(each["attempts"]) for each in documents} == {1}
