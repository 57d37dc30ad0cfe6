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

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from runyard.daemon.waiting import follow, within
from runyard.worker.jobs import JobsFolder
from runyard.worker.sandbox.hook import install
from runyard.worker.sandbox.inputs import make_inputs
from runyard.worker.sandbox.interface import Job, SandboxError
from runyard.worker.sandbox.orphans import adopt_orphans, end_orphans
from runyard.worker.sandbox.rlimits import rlimits
from runyard.worker.sandbox.runtimes import Account, Interpreter
from runyard.worker.sandbox.slot import Slot
from runyard.worker.sandbox.slotjob import SlotJob

PROGRAM = "main.py"
TMP = "tmp"
PATH = "/usr/local/bin:/usr/bin:/bin"
RESPAWN_S = 0.5
RESPAWN_MOST_S = 30.0
STOP_S = 5.0
KILLED_S = 2.0

log = Logger()


def environment(job: Job, folder: str, hook: str) -> dict[str, str]:
    """Give a job's environment: a fixed few, then its own; nothing of the worker's.

    The hook's folder comes first on the path that modules are looked for, and is taken off it, and
    out of the environment, before the program starts (hook.py).
    """
    fixed = {
        "PATH": PATH, "HOME": folder, "TMPDIR": f"{folder}/{TMP}", "LANG": "C.UTF-8",
    }  # fmt: skip
    made = fixed | dict(job.env)
    theirs = made.get("PYTHONPATH")
    made["PYTHONPATH"] = hook if not theirs else f"{hook}{os.pathsep}{theirs}"
    return made


class PlainSandbox:
    """Runs jobs as ordinary processes, one in each slot."""

    isolation = "none"

    def __init__(
        self,
        reactor: Any,
        slots: int,
        jobs: JobsFolder,
        interpreters: tuple[Interpreter, ...],
        account: Account | None,
        task_files: tuple[tuple[str, str], ...],
    ) -> None:
        self.runtimes = tuple(each.name for each in interpreters)
        self._reactor = reactor
        self._slots = slots
        self._jobs = jobs
        self._interpreters = {each.name: each for each in interpreters}
        self._account = account
        self._task_files = task_files
        self._open: list[Slot] = []
        self._exits: list[Deferred[None]] = []
        self._respawns: list[IDelayedCall] = []
        self._delay = RESPAWN_S
        self._stopping = False
        self._serial = 0
        self._compiling: list[Deferred[None]] = []

    @property
    def _hook(self) -> Path:
        return self._jobs.path / "hook"

    def start(self) -> None:
        """Start the helpers, in the jobs' folder that has just been made."""
        adopt_orphans()
        self._compiling = install(self._hook, self._interpreters.values(), self._reactor)
        for number in range(self._slots):
            self._spawn(self._jobs.path / str(number), early=True)

    def stop(self) -> Deferred[None]:
        """End every job and helper; fires when they are gone, or have not gone for some seconds."""
        self._stopping = True
        for call in self._respawns:
            if call.active():
                call.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for slot in self._open:
            slot.close()
        await self._end_helpers()
        await within(self._reactor, gatherResults(self._compiling), STOP_S)

    async def _end_helpers(self) -> None:
        gone = gatherResults(self._exits)
        if await within(self._reactor, follow(gone), STOP_S):
            return
        log.warn("{count} helpers do not end by themselves and are killed", count=len(self._open))
        for slot in self._open:
            slot.abandon()
        await within(self._reactor, follow(gone), KILLED_S)
        await end_orphans(self._reactor)

    def run(self, job: Job, started: Callable[[], None]) -> SlotJob:
        """Start a job in a free slot.

        Raises:
            SandboxError: no slot is ready, the helper does not take the job, or there are no
                descriptors or no memory for it.
        """
        free = [each for each in self._open if each.free]
        if not free:
            raise SandboxError("no slot is ready")
        slot = max(free, key=lambda each: each.ready)
        try:
            running = self._run(slot, job, started)
        except OSError as error:
            raise SandboxError(f"the job cannot be handed over: {error}") from None
        self._delay = RESPAWN_S
        return running

    def _run(self, slot: Slot, job: Job, started: Callable[[], None]) -> SlotJob:
        self._serial += 1
        folder = str(slot.folder / str(self._serial))
        order = json.dumps(self._order(job, folder)).encode()
        inputs = make_inputs(order, job.code, job.stdin, folder)
        try:
            return slot.run(job.attempt, inputs, job.limits.output_bytes, started)
        finally:
            inputs.close()

    def _order(self, job: Job, folder: str) -> dict[str, Any]:
        env = environment(job, folder, str(self._hook))
        account = self._account
        own_uid = account is not None
        return {
            "argv": self._interpreters[job.language].argv(PROGRAM, job.args),
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

    def _spawn(self, folder: Path, *, early: bool = False) -> None:
        self._respawns = [call for call in self._respawns if call.active()]
        try:
            slot = Slot(self._reactor, folder, self._slot_gone, early=early)
        except OSError as error:
            self._respawn(folder, f"a slot's helper could not be started: {error}")
            return
        self._open.append(slot)
        self._exits.append(slot.exited)
        slot.exited.addCallback(lambda _: self._exits.remove(slot.exited))

    def _slot_gone(self, slot: Slot) -> Deferred[None]:
        self._open.remove(slot)
        if self._stopping:
            return succeed(None)
        self._respawn(slot.folder, "a slot's helper ended")
        return Deferred.fromCoroutine(self._end_orphans())

    def _respawn(self, folder: Path, why: str) -> None:
        log.error("{why}; a new one in {delay:g} s", why=why, delay=self._delay)
        self._respawns.append(self._reactor.callLater(self._delay, self._spawn, folder))
        self._delay = min(self._delay * 2, RESPAWN_MOST_S)

    async def _end_orphans(self) -> None:
        """A helper was not asked to end: what its job has left falls to us."""
        if not await end_orphans(self._reactor):
            log.error("processes of a job whose helper died would not end")
