"""Drives jail_main.py from outside: what it has made on this machine, and what is left of it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import psutil
from box import HERE
from harness import eventually

from runyard.worker.sandbox import record
from runyard.worker.sandbox.levels import NONE

SLOTS = 2
START_S = 40.0


class JailProcess:
    """A sandbox in a process, busy since its last line."""

    def __init__(self, state: Path, level: str, *ends: str) -> None:
        assert level != NONE
        self.state = state
        self.level = level
        self.marker = f"runyard-test-{uuid.uuid4().hex}"
        state.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, HERE / "jail_main.py", state, level, self.marker, *ends],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self._rest = b""
        up = self.line()
        self.janitor, self.uid, self.jobs = int(up["janitor"]), up["uid"], Path(up["jobs"])

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self) -> dict[str, Any]:
        """Wait for the next line that it says."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                assert selector.select(START_S), "it says nothing"
                piece = os.read(self.process.stdout.fileno(), 65536)
                assert piece, f"it ended with {self.process.wait()}"
                self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    def processes(self) -> list[int]:
        """List those of its tasks and zygotes, by their uid and their marker."""
        found = []
        for each in psutil.process_iter(["uids", "cmdline", "status"]):
            uids, line = each.info["uids"], each.info["cmdline"] or []
            ours = self.uid is not None and uids and self.uid <= uids.real < self.uid + SLOTS
            marked = each.pid != self.pid and self.marker in line
            if (ours or marked) and each.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(each.pid)
        return found

    def groups(self) -> list[str]:
        """List its control groups that are there, by what it has written down."""
        found = []
        for each in (self.state / "instances").glob("*/record"):
            things = record.things(each.read_bytes())
            found += [thing.path for thing in things if Path(thing.path).exists()]
        return found

    def mounts(self) -> list[str]:
        """List mounts in its folder that are seen outside of its jails."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if str(self.jobs) in line]

    def kill(self) -> None:
        """End it by force, and wait for that."""
        self.process.kill()
        self.close()

    def close(self) -> None:
        """Wait for its end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def left(self) -> list[Any]:
        """List whatever is left of it but what it has written down."""
        return [*self.processes(), *self.groups(), *self.mounts()]

    def gone(self, seconds: float = 2.0) -> None:
        """Wait until nothing of it is left; never long."""
        try:
            eventually("nothing is left", lambda: not self.left(), seconds)
        except AssertionError:
            raise AssertionError(f"left after {seconds:g} s: {self.left()}") from None


def lives(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
