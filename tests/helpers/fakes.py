"""Doubles for unit tests: a worker's link, a sandbox, keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from runyard.protocols.ids import new_task_id
from runyard.protocols.tasks import Ended, Outcome, Reason, Task
from runyard.sched.roster import Worker
from runyard.worker.sandbox.interface import Ending, Job, SandboxError

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
SECRET = b"s" * 32
SUCCESS = Ended(Outcome.SUCCESS, exit_code=0, stdout=b"42\n", isolation="none")


def a_task(code: bytes = b"print(6*7)", **more: Any) -> Task:
    return Task(new_task_id(), code, **more)


def deepen(folder: Path, depth: int) -> None:
    """Make a chain of folders that no path can name."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=handle)
        Path(f"/proc/self/fd/{handle}/file").write_text("x")
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)


class FakeRunner:
    """A link whose worker does what the test says."""

    def __init__(self) -> None:
        self.busy = False
        self.lost: Deferred[None] = Deferred()
        self.runs: dict[str, Deferred[Ended]] = {}
        self.starts: dict[str, Callable[[], None]] = {}
        self.cancels: list[tuple[str, Reason]] = []
        self.drains: list[bool] = []

    def run(self, attempt: str, task: Task, started: Callable[[], None]) -> Deferred[Ended]:
        self.starts[attempt] = started
        self.runs[attempt] = Deferred()
        return self.runs[attempt]

    def cancel(self, attempt: str, reason: Reason) -> None:
        self.cancels.append((attempt, reason))

    def drain(self, *, leave: bool) -> None:
        self.drains.append(leave)

    def end(self, attempt: str, ended: Ended = SUCCESS) -> None:
        self.runs.pop(attempt).callback(ended)

    def fail(self, attempt: str, error: Exception) -> None:
        self.runs.pop(attempt).errback(Failure(error))


def a_worker(name: str = "w1", slots: int = 1, **more: Any) -> tuple[Worker, FakeRunner]:
    runner = FakeRunner()
    fields = {"boot": f"{name}-boot", "address": f"unix:{name}", "isolation": "none"} | more
    runtimes = fields.pop("runtimes", ("python",))
    return Worker(name=name, slots=slots, link=runner, runtimes=runtimes, **fields), runner


class FakeJob:
    """A job that ends when the test says."""

    def __init__(self, job: Job, started: Callable[[], None]) -> None:
        self.job = job
        self.started = started
        self.done: Deferred[Ending] = Deferred()
        self.kills = self.traces = 0
        self.renewed = job.lease
        self.kept = {"stdout": b"", "stderr": b""}
        self.grown: Callable[[], None] | None = None

    def write(self, data: bytes, stream: str = "stdout") -> None:
        """Write as the job's process would; it is told to whoever watches."""
        self.kept[stream] += data
        if self.grown is not None:
            self.grown()

    def watch(self, grown: Callable[[], None] | None) -> None:
        self.grown = grown

    def output(self, stream: str, offset: int, most: int) -> tuple[bytes, int]:
        return self.kept[stream][offset : offset + most], len(self.kept[stream])

    def kill(self) -> None:
        self.kills += 1

    def renew(self, seconds: float) -> None:
        self.renewed = seconds

    def trace(self) -> None:
        self.traces += 1

    def end(self, status: int = 0, **more: Any) -> None:
        fields: dict[str, Any] = {
            "status": status, **self.kept, "stdout_truncated": False,
            "stderr_truncated": False, "full": None, "measured": 0, "wall_s": 0.1, "cpu_s": 0.1,
            "max_rss_bytes": 1,
        }  # fmt: skip
        self.done.callback(Ending(**(fields | more)))

    def fail(self, why: str) -> None:
        self.done.errback(Failure(SandboxError(why)))


class FakeSandbox:
    """Slots in which nothing really runs."""

    isolation: str = "none"
    runtimes: tuple[str, ...] = ("python",)
    network: bool = False

    def __init__(self) -> None:
        self.jobs: list[FakeJob] = []
        self.full = False

    def start(self) -> None: ...

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def run(self, job: Job, started: Callable[[], None]) -> FakeJob:
        if self.full:
            raise SandboxError("no slot is ready")
        self.jobs.append(FakeJob(job, started))
        return self.jobs[-1]
