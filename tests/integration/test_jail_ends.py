"""However a worker ends, nothing of its tasks is left, and its neighbours live on.

No sandbox runs in the tests' own process here: after its janitor's end it would take other workers,
which are its children as well, for what that has left.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from harness import Daemon, eventually, processes_with, select_nothing, system, words
from jail_process import JailProcess, lives
from jailed import FULL_FIRST, JAIL_LEVELS

from runyard.daemon.keys import CONTROLLER_PUBLIC, FLEET_SECRET, make_keys
from runyard.worker.sandbox.cleanup import clean_up
from runyard.worker.sandbox.levels import FULL


@pytest.fixture(scope="module")
def sibling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JailProcess]:
    """Run another worker of this machine, which must notice nothing of what happens to others."""
    made = JailProcess(tmp_path_factory.mktemp("sibling") / "state", JAIL_LEVELS[-1], "300", "300")
    assert "wrote" in made.line()
    before = sorted(made.processes())
    yield made
    assert sorted(made.processes()) == before, "its neighbours' ends were felt"
    assert lives(made.janitor)
    made.kill()
    made.gone()


def killed_at_random(state: Path, level: str, seed: int, *, janitor: bool) -> None:
    chance = random.Random(seed)
    worker = JailProcess(state, level)
    try:
        for _ in range(chance.randrange(12)):
            worker.line()
        select_nothing(chance.random() * 0.05)
        if janitor:
            os.kill(worker.janitor, signal.SIGKILL)
        worker.kill()
        if janitor:
            eventually("no process is left", lambda: not worker.processes(), 2.0)
            clean_up(str(state))
        worker.gone()
        eventually("the janitor ends", lambda: not lives(worker.janitor), 3.0)
    finally:
        worker.close()


@pytest.mark.parametrize("level", FULL_FIRST)
def test_a_worker_killed_at_any_moment_leaves_nothing(
    tmp_path: Path, sibling: JailProcess, level: str
) -> None:
    for seed in range(2):
        killed_at_random(tmp_path / "state", level, seed, janitor=False)
    # At `full` it has written down what it has made; the next start forgets that.
    assert bool(list((tmp_path / "state").glob("instances/*"))) == (level == FULL)
    clean_up(str(tmp_path / "state"))
    assert not list((tmp_path / "state").glob("instances/*"))


@pytest.mark.parametrize("level", FULL_FIRST)
def test_a_worker_killed_with_its_janitor_leaves_nothing_after_the_next_start(
    tmp_path: Path, sibling: JailProcess, level: str
) -> None:
    killed_at_random(tmp_path / "state", level, 7, janitor=True)


@pytest.mark.slow
@pytest.mark.parametrize("level", JAIL_LEVELS)
def test_a_worker_killed_fifty_times_leaves_nothing(
    tmp_path: Path, sibling: JailProcess, level: str
) -> None:
    for seed in range(50):
        killed_at_random(tmp_path / "state", level, 100 + seed, janitor=seed % 4 == 0)


@pytest.mark.parametrize(
    ("ends", "seconds"),
    [
        pytest.param(("0.2", "300"), 5.0, id="wall", marks=pytest.mark.slow),
        pytest.param(("300", "0.5"), 3.0, id="lease"),
    ],
)
def test_a_frozen_worker_s_job_ends_at_its_limits(
    tmp_path: Path, ends: tuple[str, str], seconds: float
) -> None:
    worker = JailProcess(tmp_path / "state", JAIL_LEVELS[-1], *ends)
    try:
        assert "wrote" in worker.line()
        os.kill(worker.pid, signal.SIGSTOP)
        eventually("it ends", lambda: not processes_with(worker.marker)[1:], seconds)
        assert processes_with(worker.marker) == [worker.pid]
        os.kill(worker.pid, signal.SIGCONT)
        assert "ended" in worker.line()
    finally:
        worker.kill()
    worker.gone()


def test_a_task_whose_janitor_is_killed_is_tried_again(tmp_path: Path) -> None:
    keys = tmp_path / "scheduler" / "keys"
    make_keys(keys)
    worker = Daemon(
        "worker", "--slots=1", f"--state={tmp_path / 'worker'}", "--min-isolation=namespaces",
        f"--listen=unix:{tmp_path / 'socket'}:mode=600",
        f"--controller-key={keys / CONTROLLER_PUBLIC}", f"--fleet-secret={keys / FLEET_SECRET}",
    )  # fmt: skip
    try:
        worker.says("isolation (full|namespaces)")
        (janitor,) = [
            each.pid for each in children(worker.pid) if "janitor.py" in " ".join(words(each))
        ]
        with system(tmp_path / "scheduler", f"--worker=unix:{tmp_path / 'socket'}") as running:
            flag = f"runyard-flag-{os.getpid()}"
            child = "import time; time.sleep(1); print(1)"
            code = (
                "import os, sys\n"
                f"os.execv(sys.executable, [sys.executable, '-c', {child!r}, {flag!r}])"
            )
            with ThreadPoolExecutor() as pool:
                answer = pool.submit(running.run, code)
                eventually("it runs", lambda: processes_with(flag))
                os.kill(janitor, signal.SIGKILL)
                document = answer.result(60)
            assert (document["outcome"], document["stdout"]) == ("success", "1\n"), document
            first, second = document["attempts"]
            assert (first["failure"], first["reason"]) == ("internal_fail", "sandbox")
            assert second["failure"] is None
        assert worker.stop() == 0
    finally:
        worker.stop()
    assert not list((tmp_path / "worker" / "instances").iterdir())
    assert not (tmp_path / "worker" / "jobs").exists()


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)
