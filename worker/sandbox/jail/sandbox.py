"""Levels `full` and `namespaces`: each job in a jail of its own, in a child that waits for it."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed

from runyard.daemon.waiting import follow, within
from runyard.protocols.limits import RANGES
from runyard.worker.jobs import JobsFolder
from runyard.worker.sandbox.inputs import make_inputs
from runyard.worker.sandbox.interface import Job, SandboxError
from runyard.worker.sandbox.jail import environment
from runyard.worker.sandbox.jail.install import FRESH, ZYGOTE, install
from runyard.worker.sandbox.jail.janitors import JanitorLink, Zygote
from runyard.worker.sandbox.jail.layout import OWN, layout
from runyard.worker.sandbox.jail.order import pack
from runyard.worker.sandbox.orphans import adopt_orphans
from runyard.worker.sandbox.pool import SlotPool
from runyard.worker.sandbox.rlimits import rlimits
from runyard.worker.sandbox.runtimes import Interpreter
from runyard.worker.sandbox.slot import Owner, Slot
from runyard.worker.sandbox.slotjob import SlotJob

PROGRAM = "main.py"
FOLDER = "/task"
MOST_RUNS = 1000
STOP_S = 5.0
DISK_BYTES = int(RANGES["disk_bytes"].default)


class JailSandbox:
    """Runs each job in a fresh child of its slot's zygote.

    Attributes:
        isolation: ``full`` or ``namespaces``.
    """

    def __init__(
        self,
        reactor: Any,
        slots: int,
        jobs: JobsFolder,
        interpreters: tuple[Interpreter, ...],
        task_files: str | None,
        uid_base: int | None,
        isolation: str = "namespaces",
    ) -> None:
        self.isolation = isolation
        self.runtimes = tuple(each.name for each in interpreters)
        self.pool = SlotPool(reactor, slots, self._slot, lambda: succeed(None), MOST_RUNS)
        self.janitor = JanitorLink(reactor, self._layout)
        self._reactor = reactor
        self._jobs = jobs
        self._interpreters = {each.name: each for each in interpreters}
        self._task_files = task_files
        self._uid_base = uid_base

    def start(self) -> None:
        """Start the slots, in the jobs' folder that has just been made."""
        adopt_orphans()
        self._place.mkdir(mode=0o755)
        install(self._own, self._interpreters.values(), self._reactor)
        self.pool.start()

    def stop(self) -> Deferred[None]:
        """End every job, zygote and the janitor; fires when they are gone."""
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.pool.stop()
        gone = self.janitor.close()
        if gone is not None and not await within(self._reactor, follow(gone), STOP_S):
            self.janitor.kill()
            await within(self._reactor, follow(gone), STOP_S)

    def run(self, job: Job, started: Callable[[], None]) -> SlotJob:
        """Start a job in a free slot.

        Raises:
            SandboxError: no slot is ready, the zygote does not take the job, or there are no
                descriptors or no memory for it.
        """
        slot = self.pool.take()
        if slot is None:
            raise SandboxError("no slot is ready")
        try:
            inputs = make_inputs(self._order(job), job.code, job.stdin, FOLDER)
            try:
                running = slot.run(job.attempt, inputs, job.limits.output_bytes, started)
            finally:
                inputs.close()
        except OSError as error:
            raise SandboxError(f"the job cannot be handed over: {error}") from None
        self.pool.worked(slot)
        return running

    @property
    def _place(self) -> Path:
        return self._jobs.path / "root"

    @property
    def _own(self) -> Path:
        return self._jobs.path / "jail"

    @property
    def _default(self) -> Interpreter:
        return self._interpreters["python"]

    def _layout(self) -> dict[str, Any]:
        return layout(
            str(self._place), str(self._own), self._interpreters.values(), self._task_files,
            os.getuid(), os.getgid(),
        )  # fmt: skip

    def _order(self, job: Job) -> bytes:
        limits = job.limits
        named = rlimits(limits, slots=1, own_uid=False)
        named["RLIMIT_NPROC"] = (limits.processes + 1, limits.processes + 1)  # and its keeper
        numbers = [(getattr(resource, name), *both) for name, both in named.items()]
        env = environment.of(job)
        interpreter = self._interpreters[job.language]
        fresh = interpreter is not self._default or environment.needs_fresh(job)
        argv = interpreter.argv(PROGRAM, job.args) if fresh else ()
        if fresh:
            env = environment.with_hook(env, f"{OWN}/{FRESH}")
        return pack(
            limits.wall_s, job.lease, limits.disk_bytes, False, numbers, argv, job.args, env
        )

    def _slot(self, number: int, owner: Owner, early: bool) -> Slot:
        start = partial(self._zygote, number)
        return Slot(self._reactor, number, start, owner, early=early, warms=True)

    def _zygote(self, number: int, channel: socket.socket, exited: Callable[[], None]) -> Zygote:
        uid = None if self._uid_base is None else self._uid_base + number
        inside = (os.getuid(), os.getgid()) if uid is None else (uid, uid)
        order = {
            "groups": [],
            "uid": uid,
            "argv": self._default.argv(PROGRAM, ()),
            "env": environment.ZYGOTE | {"PYTHONPATH": f"{OWN}/{ZYGOTE}"},
            "settings": f"3 {inside[0]} {inside[1]} {DISK_BYTES} PROC",
        }
        return self.janitor.start_zygote(order, channel, exited)
