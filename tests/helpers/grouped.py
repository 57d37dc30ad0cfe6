"""Real control groups for tests, below this process's own, and processes that wait to be let go."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import eventually

from runyard.worker.sandbox.cgroups import files, finding, where
from runyard.worker.sandbox.cgroups.group import SlotGroup
from runyard.worker.sandbox.cgroups.where import CORE, Base

BASE, _ = finding.look()
NAME = f"runyard-test-{os.getpid()}"
ALL = {*where.WANTED, *where.HELPFUL_V1}
WITH_V1 = pytest.mark.skipif(
    os.geteuid() != 0 or BASE.version != 1 or not ALL.issubset(BASE.folders),
    reason="it needs root, and version 1 with its controllers",
)


def unified() -> Base | None:
    """Give this process's own group of version 2, with no controllers, where groups can be made."""
    found = where.own(files.whole("/proc/self/cgroup"), files.whole("/proc/self/mountinfo"))
    usable = found.v2 and os.geteuid() == 0 and Path(found.v2, "cgroup.kill").exists()
    # A root has no cgroup.kill; what lies below it has where the kernel knows it.
    root = found.v2 and os.geteuid() == 0 and not Path(found.v2, "cgroup.type").exists()
    return Base(2, {CORE: str(found.v2)}) if usable or root else None


WITH_V2 = pytest.mark.skipif(unified() is None, reason="it needs root, and version 2 mounted")


@contextmanager
def real_group(base: Base, name: str = NAME) -> Iterator[SlotGroup]:
    """Make a group, and leave nothing of it."""
    group = finding.make(base, name)
    try:
        yield group
    finally:
        eventually("the group is empty", group.kill)
        eventually("the group is removed", group.remove)


class Waiting:
    """A process that runs some code when it is let go; `out` is what it wrote."""

    def __init__(self, code: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", f"import os, sys, time\nsys.stdin.read()\n{code}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.pid = self.process.pid
        # First in line for the kernel, should a limit not hold: never a process that is not ours.
        Path(f"/proc/{self.pid}/oom_score_adj").write_text("1000")

    def go(self) -> None:
        """Let it go."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> tuple[int, bytes]:
        """Wait for its end; give its exit code, negative for a signal, and what it wrote."""
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            out = stdout.read()
        return self.process.wait(30), out


def run_in(group: SlotGroup, code: str) -> tuple[int, bytes]:
    """Run some code in a group to its end."""
    process = Waiting(code)
    group.attach(process.pid)
    process.go()
    return process.end()
