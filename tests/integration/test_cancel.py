"""Case O40: cancelling works wherever a task is, and the slot is free at once."""

from __future__ import annotations

from pathlib import Path

import requests
from harness import eventually, processes_with, system

LONG = "import time; print('on', flush=True); time.sleep(20)"
MARK = "the-task-that-is-cancelled"


def test_o40_a_queued_and_a_running_task_are_cancelled(tmp_path: Path) -> None:
    with system(tmp_path / "s", "--slots=1") as runyard:
        marker = tmp_path / "started"
        mark = f"open({str(marker)!r}, 'w')"
        tmp_path.chmod(0o777)
        running = runyard.run(LONG, args=[MARK], wait=False)["id"]
        queued = runyard.run(mark, wait=False)["id"]
        eventually("it runs", lambda: processes_with(MARK))

        def cancel(task: str) -> requests.Response:
            return requests.delete(f"{runyard.url}/tasks/{task}", timeout=30)

        answer = cancel(queued)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "cancelled")
        first = cancel(running)
        assert first.status_code == 200
        assert (first.json()["outcome"], first.json()["reason"]) == ("cancelled", "asked")
        assert not processes_with(MARK), "its process is gone when the answer comes"
        assert cancel(running).json() == first.json(), "the same final state"
        assert cancel("01900000-0000-7000-8000-000000000000").status_code == 404
        assert runyard.run("print(3)")["usage"]["wall_s"] < 5
        assert runyard.run("print(4)")["stdout"] == "4\n"
        assert not marker.exists(), "the queued one never starts"
