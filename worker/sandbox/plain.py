"""Level `none`: an ordinary process a job, as `nobody` with rlimits where the worker is root.

It keeps tasks apart by process, folder and user, and bounds what one process uses. It does not keep
hostile code from the machine's files, network or other processes of the tasks' user.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from runyard.worker.sandbox.interface import Job, SandboxError
from runyard.worker.sandbox.orphans import adopt_orphans, end_orphans
from runyard.worker.sandbox.rlimits import rlimits
from runyard.worker.sandbox.runtimes import Account, Interpreter
from runyard.worker.sandbox.slot import Slot, SlotJob

PROGRAM = "main.py"
TMP = "tmp"
PATH = "/usr/local/bin:/usr/bin:/bin"
RESPAWN_S = 0.5
RESPAWN_MOST_S = 30.0

log = Logger()


def environment(job: Job, folder: str) -> dict[str, str]:
    """Give a job's environment: a fixed few, then its own; nothing of the worker's."""
    fixed = {
        "PATH": PATH, "HOME": folder, "TMPDIR": f"{folder}/{TMP}", "LANG": "C.UTF-8",
    }  # fmt: skip
    return fixed | dict(job.env)


def memory_file(content: bytes) -> int:
    """Give a descriptor at the start of an anonymous file with this content; no disk is touched."""
    descriptor = os.memfd_create("runyard", os.MFD_CLOEXEC)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class PlainSandbox:
    """Runs jobs as ordinary processes, one in each slot."""

    isolation = "none"

    def __init__(
        self,
        reactor: Any,
        slots: int,
        folder: Path,
        interpreters: tuple[Interpreter, ...],
        account: Account | None,
        task_files: tuple[tuple[str, str], ...],
    ) -> None:
        self.runtimes = tuple(each.name for each in interpreters)
        self._reactor = reactor
        self._slots = slots
        self._folder = folder
        self._interpreters = {each.name: each for each in interpreters}
        self._account = account
        self._task_files = task_files
        self._open: list[Slot] = []
        self._closing: list[Slot] = []
        self._respawns: list[IDelayedCall] = []
        self._delay = RESPAWN_S
        self._stopping = False
        self._serial = 0

    def start(self) -> None:
        """Start the helpers."""
        adopt_orphans()
        for number in range(self._slots):
            self._spawn(self._folder / str(number))

    def stop(self) -> Deferred[None]:
        """End every job and helper; fires when they are gone."""
        self._stopping = True
        for call in self._respawns:
            if call.active():
                call.cancel()
        ending = [slot.exited for slot in self._open]
        for slot in self._open:
            slot.close()
        gone: Deferred[None] = gatherResults(ending).addCallback(lambda _: None)
        return gone

    def run(self, job: Job, started: Callable[[], None]) -> SlotJob:
        """Start a job in a free slot.

        Raises:
            SandboxError: no slot is free, or the helper does not take the job.
        """
        slot = next((each for each in self._open if each.job is None), None)
        if slot is None:
            raise SandboxError("no slot is ready")
        self._serial += 1
        folder = str(slot.folder / str(self._serial))
        order = json.dumps(self._order(job, folder)).encode()
        inputs = [memory_file(order), memory_file(job.code), self._stdin(job)]
        try:
            running = slot.run(job.attempt, inputs, job.limits.output_bytes, started)
        finally:
            for descriptor in inputs:
                os.close(descriptor)
        self._delay = RESPAWN_S
        return running

    def _stdin(self, job: Job) -> int:
        if job.stdin:
            return memory_file(job.stdin)
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _order(self, job: Job, folder: str) -> dict[str, Any]:
        env = environment(job, folder)
        account = self._account
        own_uid = account is not None
        return {
            "argv": self._interpreters[job.language].argv(PROGRAM, job.args, dict(job.env)),
            "env": env,
            "cwd": folder,
            "program": PROGRAM,
            "task_files": self._task_files,
            "rlimits": rlimits(job.limits, slots=self._slots, own_uid=own_uid),
            "uid": account.uid if account else None,
            "gid": account.gid if account else None,
            "wall_s": job.limits.wall_s,
            "lease_s": job.lease,
        }

    def _spawn(self, folder: Path) -> None:
        self._respawns = [call for call in self._respawns if call.active()]
        self._open.append(Slot(self._reactor, folder, self._slot_gone))

    def _slot_gone(self, slot: Slot) -> None:
        self._open.remove(slot)
        left = end_orphans({each.pid for each in self._open if each.pid is not None})
        if left:
            log.warn("{count} processes of a job whose helper died were ended", count=left)
        if self._stopping:
            return
        log.error("a slot's helper ended; a new one in {delay:g} s", delay=self._delay)
        self._respawns.append(self._reactor.callLater(self._delay, self._spawn, slot.folder))
        self._delay = min(self._delay * 2, RESPAWN_MOST_S)
