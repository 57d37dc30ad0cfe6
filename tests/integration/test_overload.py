"""More than the queue takes: what is accepted succeeds, the rest is told at once to come later."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
from harness import System, system

SUBMISSIONS = 500
QUEUE = 200
CODE = "import time; time.sleep(0.05); print('done')"


def submit(running: System) -> tuple[int, float, str]:
    """Submit without waiting; give the status, the seconds it took, and where the task is."""
    began = time.monotonic()
    answer = requests.post(f"{running.url}/execute", json={"code": CODE, "wait": False}, timeout=30)
    if answer.status_code == 503:
        assert int(answer.headers["Retry-After"]) > 0
        assert "waiting" in answer.json()["detail"]
    return answer.status_code, time.monotonic() - began, answer.headers.get("Location", "")


def slowest_status(running: System) -> float:
    """Ask for the status some times while the burst is on; give the longest answer."""
    longest = 0.0
    for _ in range(10):
        began = time.monotonic()
        assert requests.get(f"{running.url}/healthz", timeout=10).status_code == 200
        longest = max(longest, time.monotonic() - began)
    return longest


def test_a_burst_is_bounded_and_everything_that_was_taken_is_done(tmp_path: Path) -> None:
    options = ("--slots=4", f"--max-queue={QUEUE}", "--max-connections=600")
    with system(tmp_path, *options) as running, ThreadPoolExecutor(50) as pool:
        answers = [pool.submit(submit, running) for _ in range(SUBMISSIONS)]
        assert slowest_status(running) < 1.0
        got = [answer.result() for answer in answers]
        taken = [where for status, _, where in got if status == 202]
        refused = [seconds for status, seconds, _ in got if status == 503]
        assert len(taken) + len(refused) == SUBMISSIONS
        assert len(taken) >= QUEUE
        assert refused, "the queue has an end"
        for where in taken:
            task = requests.get(f"{running.url}{where}?wait=60", timeout=90).json()
            assert (task["outcome"], task["stdout"]) == ("success", "done\n")
            assert len(task["attempts"]) == 1
        assert running.get("print('after')").text == "after\n"
