"""Many tasks by many clients: none lost, none mixed up, nothing left."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from harness import System, eventually, select_nothing, system

CLIENTS = 32


@pytest.fixture
def runyard(tmp_path: Path) -> Iterator[System]:
    with system(tmp_path / "state") as running:
        yield running


def standing(runyard: System) -> dict[str, Any]:
    """Give what must be the same before and after, whatever ran between."""
    everyone = [psutil.Process(runyard.daemon.pid), *runyard.processes()]
    counts = requests.get(f"{runyard.debug_url}/debug/counts", timeout=10).json()
    return {
        "descriptors": sorted(process.num_fds() for process in everyone),
        "threads": sum(process.num_threads() for process in everyone),
        "processes": len(everyone),
        **counts,
    }


def ask(runyard: System, turn: int) -> str:
    token = f"token-{turn}-" + "x" * (turn % 97)
    with requests.Session() as session:
        code = f"import sys; print({token!r}); print('e', {turn}, file=sys.stderr)"
        if turn % 2:
            answer = session.get(f"{runyard.url}/execute", params={"code": code}, timeout=120)
            assert answer.text == token + "\n"
            return answer.headers["X-Task-Id"]
        document = session.post(f"{runyard.url}/execute", json={"code": code}, timeout=120).json()
        assert (document["stdout"], document["stderr"]) == (f"{token}\n", f"e {turn}\n")
        assert len(document["attempts"]) == 1
        task: str = document["id"]
        return task


def burst(runyard: System, tasks: int) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        ids = list(pool.map(ask, itertools.repeat(runyard), range(tasks)))
    assert len(set(ids)) == tasks


def soak(runyard: System, tasks: int) -> None:
    burst(runyard, 40)  # threads and lazy imports are there after this
    before = eventually("the same twice", lambda: steady(runyard))
    burst(runyard, tasks)
    after: list[dict[str, Any] | None] = []

    def settled() -> bool:
        after[:] = [quiet(runyard)]
        return bool(after[0] == before)

    try:
        eventually("everything as before", settled)
    except AssertionError:
        assert after[0] == before
        raise


def steady(runyard: System) -> dict[str, Any] | None:
    """Give what stands when it does not change between two looks."""
    first = quiet(runyard)
    select_nothing(0.2)
    return first if first is not None and first == quiet(runyard) else None


def quiet(runyard: System) -> dict[str, Any] | None:
    now = standing(runyard)
    busy = now["unfinished"] or now["slots_in_use"]
    return None if busy else now


def test_a_burst_leaves_everything_as_it_was(runyard: System) -> None:
    soak(runyard, 100)


def test_a_worker_does_not_keep_the_outputs_that_it_has_sent(runyard: System) -> None:
    flood = "row = 'x' * 99\nwhile True: print(row)"
    limits = {"output_bytes": 16 * 1024 * 1024}

    def memory() -> int:
        (worker, *_) = psutil.Process(runyard.daemon.pid).children()
        return int(worker.memory_info().rss)

    def run() -> None:
        assert runyard.run(flood, limits=limits, timeout=60)["reason"] == "output_limit"

    for _ in range(4):
        run()
    first = memory()
    for _ in range(6):
        run()
    assert memory() < first + 48 * 1024 * 1024, "six outputs of 16 MiB have passed"


@pytest.mark.slow
def test_a_thousand_tasks_by_32_clients_each_print_their_own_token(runyard: System) -> None:
    soak(runyard, 1000)
