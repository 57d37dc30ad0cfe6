"""Levels `none` and `restricted`: an ordinary process a job, with rlimits, started by a helper.

At level `none` it runs as `nobody` where the worker is root: that keeps tasks apart by process,
folder and user, and bounds what one process uses. It does not keep hostile code from the machine's
files, network or other processes of the tasks' user. At level `restricted` each job is held to a
Restriction in addition.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.daemon.waiting import within
from runyard.worker.jobs import JobsFolder
from runyard.worker.sandbox.hook import install
from runyard.worker.sandbox.inputs import make_inputs
from runyard.worker.sandbox.interface import Job, SandboxError
from runyard.worker.sandbox.levels import NONE, RESTRICTED
from runyard.worker.sandbox.orphans import adopt_orphans, end_orphans
from runyard.worker.sandbox.pool import STOP_S, SlotPool
from runyard.worker.sandbox.restricting import Restriction
from runyard.worker.sandbox.rlimits import rlimits
from runyard.worker.sandbox.runtimes import Account, Interpreter
from runyard.worker.sandbox.slot import Owner, Slot
from runyard.worker.sandbox.slotjob import SlotJob

PROGRAM = "main.py"
PATH = "/usr/local/bin:/usr/bin:/bin"
LAUNCHER = Path(__file__).with_name("launcher.py")

log = Logger()


def environment(job: Job, folder: str, hook: str) -> dict[str, str]:
    """Give a job's environment: a fixed few, then its own; nothing of the worker's.

    The hook's folder comes first on the path that modules are looked for, and is taken off it, and
    out of the environment, before the program starts (hook.py).
    """
    fixed = {
        "PATH": PATH, "HOME": folder, "TMPDIR": f"{folder}.tmp", "LANG": "C.UTF-8",
    }  # fmt: skip
    made = fixed | dict(job.env)
    theirs = made.get("PYTHONPATH")
    made["PYTHONPATH"] = hook if not theirs else f"{hook}{os.pathsep}{theirs}"
    return made


class PlainHelper(ProcessProtocol):
    """The process that runs a slot's jobs as ordinary ones.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        reactor: Any,
        folder: Path,
        confinement: tuple[str, ...],
        channel: socket.socket,
        exited: Callable[[], None],
    ) -> None:
        self._exited = exited
        with Path(os.devnull).open("r+b", buffering=0) as null:
            self._process = reactor.spawnProcess(
                self,
                sys.executable,
                [sys.executable, "-I", "-S", str(LAUNCHER), "3", str(folder), *confinement],
                env={},
                childFDs={0: null.fileno(), 1: null.fileno(), 2: 2, 3: channel.fileno()},
            )

    def kill(self) -> None:
        """End it by force; idempotent."""
        with contextlib.suppress(ProcessExitedAlready):
            self._process.signalProcess("KILL")

    def processExited(self, reason: Failure) -> None:
        """Tell the slot."""
        self._exited()


def ordered(
    job: Job, interpreter: Interpreter, folder: str, hook: str, account: Account | None
) -> dict[str, Any]:
    """Give a job's order to the helper, but for its rlimits."""
    return {
        "argv": interpreter.argv(PROGRAM, job.args),
        "env": environment(job, folder, hook),
        "cwd": folder,
        "program": PROGRAM,
        "task_files": (),
        "processes": job.limits.processes,
        "file_bytes": job.limits.file_bytes,
        "uid": account.uid if account else None,
        "gid": account.gid if account else None,
        "wall_s": job.limits.wall_s,
        "lease_s": job.lease,
    }


class PlainSandbox:
    """Runs jobs as ordinary processes, one in each slot.

    Attributes:
        isolation: ``restricted`` where there is a restriction, else ``none``.
        network: Whether jobs may ask for the network. At level `none` any job has the machine's,
            asked for or not.
    """

    def __init__(
        self,
        reactor: Any,
        slots: int,
        jobs: JobsFolder,
        interpreters: tuple[Interpreter, ...],
        account: Account | None,
        task_files: tuple[tuple[str, str], ...],
        restriction: Restriction | None = None,
        network: bool = True,
    ) -> None:
        self.isolation = NONE if restriction is None else RESTRICTED
        self.network = network and restriction is None
        self._restriction = restriction
        self.runtimes = tuple(each.name for each in interpreters)
        self.pool = SlotPool(reactor, slots, self._slot, self._after)
        self._reactor = reactor
        self._count = slots
        self._jobs = jobs
        self._interpreters = {each.name: each for each in interpreters}
        self._account = account
        self._task_files = task_files
        self._serial = 0
        self._compiling: list[Deferred[None]] = []

    @property
    def _hook(self) -> Path:
        return self._jobs.path / "hook"

    def start(self) -> None:
        """Start the helpers, in the jobs' folder that has just been made."""
        adopt_orphans()
        self._compiling = install(self._hook, self._interpreters.values(), self._reactor)
        self.pool.start()

    def stop(self) -> Deferred[None]:
        """End every job and helper; fires when they are gone, or have not gone for some seconds."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if not await self.pool.stop():
            await end_orphans(self._reactor)
        await within(self._reactor, gatherResults(self._compiling), STOP_S)

    def run(self, job: Job, started: Callable[[], None]) -> SlotJob:
        """Start a job in a free slot.

        Raises:
            SandboxError: no slot is ready, the helper does not take the job, or there are no
                descriptors or no memory for it.
        """
        slot = self.pool.take()
        if slot is None:
            raise SandboxError("no slot is ready")
        try:
            running = self._run(slot, job, started)
        except OSError as error:
            raise SandboxError(f"the job cannot be handed over: {error}") from None
        self.pool.worked(slot)
        return running

    def _folder(self, number: int) -> Path:
        return self._jobs.path / str(number)

    def _run(self, slot: Slot, job: Job, started: Callable[[], None]) -> SlotJob:
        self._serial += 1
        folder = str(self._folder(slot.number) / str(self._serial))
        order = json.dumps(self._order(job, folder)).encode()
        inputs = make_inputs(order, job.code, job.stdin, folder, job.files)
        try:
            return slot.run(job.attempt, inputs, job.limits, started)
        finally:
            inputs.close()

    def _order(self, job: Job, folder: str) -> dict[str, Any]:
        interpreter, hook = self._interpreters[job.language], str(self._hook)
        own_uid = self._account is not None and self._restriction is None
        return ordered(job, interpreter, folder, hook, self._account) | {
            "task_files": self._task_files,
            "rlimits": rlimits(job.limits, slots=self._count, own_uid=own_uid),
        }

    def _slot(self, number: int, owner: Owner, early: bool) -> Slot:
        held = self._restriction
        confinement = (held.text(str(self._hook)),) if held is not None else ()
        start = partial(PlainHelper, self._reactor, self._folder(number), confinement)
        return Slot(self._reactor, number, start, owner, early=early)

    def _after(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._end_orphans())

    async def _end_orphans(self) -> None:
        """A helper was not asked to end: what its job has left falls to us."""
        if not await end_orphans(self._reactor):
            log.error("processes of a job whose helper died would not end")
