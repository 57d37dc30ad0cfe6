"""A scheduler that is told to stop: everybody is answered, in time, whoever runs the workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from harness import Daemon, System, eventually, system, words

from runyard.daemon.keys import make_keys

PROGRAM = "import time, sys; time.sleep({seconds}); sys.stdout.write('x' * {size})"


@contextmanager
def with_a_worker_of_its_own(folder: Path, *options: str) -> Iterator[System]:
    make_keys(folder / "state" / "keys")
    keys = folder / "state" / "keys"
    socket = folder / "w.sock"
    worker = Daemon(
        "worker", "--allow-unsandboxed", "--isolation=none",
        f"--listen=unix:{socket}", f"--state={folder / 'w'}",
        f"--controller-key={keys / 'controller.pub'}", f"--fleet-secret={keys / 'fleet.secret'}",
        "--name=own", "--slots=2",
    )  # fmt: skip
    try:
        worker.says("listens on")
        with system(folder / "state", f"--worker=unix:{socket}", *options) as running:
            yield running
    finally:
        worker.stop()


def counts(running: System) -> dict[str, int]:
    found: dict[str, int] = requests.get(f"{running.debug_url}/debug/counts", timeout=10).json()
    return found


@pytest.mark.parametrize("size", [10, 50_000, 1_000_000])
def test_what_runs_is_answered_whole_before_the_links_are_closed(tmp_path: Path, size: int) -> None:
    with (
        with_a_worker_of_its_own(tmp_path) as running,
        ThreadPoolExecutor(2) as pool,
    ):
        plain = pool.submit(running.get, PROGRAM.format(seconds=1, size=size))
        document = pool.submit(running.run, PROGRAM.format(seconds=1, size=size))
        eventually("both run", lambda: counts(running)["running"] == 2)
        assert running.stop() == 0
        assert plain.result().text == "x" * size
        assert document.result()["stdout"] == "x" * size
    log = running.daemon.read()
    assert "Traceback" not in log
    assert "Unhandled" not in log


@pytest.mark.parametrize("own", [True, False])
def test_what_outlasts_the_drain_timeout_is_cancelled_and_answered(
    tmp_path: Path, own: bool
) -> None:
    options = ("--drain-timeout=1",)
    start = with_a_worker_of_its_own(tmp_path, *options) if own else system(tmp_path, *options)
    with start as running, ThreadPoolExecutor(1) as pool:
        code = PROGRAM.format(seconds=25, size=1)
        answer = pool.submit(running.get, code, timeout=30)
        eventually("it runs", lambda: counts(running)["running"] == 1)
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 10
        assert answer.result().status_code == 503
        assert answer.result().headers["X-Task-Outcome"] == "cancelled"
    log = running.daemon.read()
    assert "Traceback" not in log
    assert "Unhandled" not in log


def test_nothing_is_imported_from_the_folder_that_it_is_started_in(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    for name in ("tempfile", "queue", "twisted", "runyard", "sched"):
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')\nraise SystemExit(9)\n")
    with system(tmp_path / "state", cwd=tmp_path) as running:
        assert running.get("print(1)").text == "1\n"
    assert not marker.exists()


def test_a_worker_with_other_options_is_replaced_not_adopted(tmp_path: Path) -> None:
    first = System(tmp_path, "--slots=1")
    first.daemon.process.kill()
    first.daemon.process.wait()
    with system(tmp_path, "--slots=3") as second:
        eventually("the new options hold", lambda: [w["slots"] for w in second.workers()] == [3])
        assert second.get("print(1)").text == "1\n"


def test_a_worker_that_stops_by_itself_gives_its_tasks_back(tmp_path: Path) -> None:
    with system(tmp_path, "--slots=1", "--drain-timeout=60") as running:
        code = PROGRAM.format(seconds=2, size=3)
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(running.run, code, timeout=30)
            eventually("it runs", lambda: counts(running)["running"] == 1)
            (worker,) = [p for p in running.processes() if "--local" in words(p)]
            worker.terminate()
            document = answer.result()
    assert document["outcome"] == "success"
    assert document["stdout"] == "xxx"
