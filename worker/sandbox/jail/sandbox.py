"""Levels `full` and `namespaces`: each job in a jail of its own, in a child that waits for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed

from runyard.daemon.waiting import follow, within
from runyard.worker.jobs import JobsFolder
from runyard.worker.network.gateway import Gateway
from runyard.worker.sandbox.inputs import make_inputs
from runyard.worker.sandbox.interface import Job, SandboxError
from runyard.worker.sandbox.jail.janitors import JanitorLink
from runyard.worker.sandbox.jail.making import FOLDER, JailPlan
from runyard.worker.sandbox.jail.metering import Meters
from runyard.worker.sandbox.levels import FULL, NAMESPACES
from runyard.worker.sandbox.orphans import adopt_orphans
from runyard.worker.sandbox.pool import SlotPool
from runyard.worker.sandbox.slot import Owner, Slot
from runyard.worker.sandbox.slotjob import SlotJob

MOST_RUNS = 1000
STOP_S = 5.0


class JailSandbox:
    """Runs each job in a fresh child of its slot's zygote.

    Attributes:
        isolation: ``full`` or ``namespaces``.
        network: Whether jobs may have a way out.
    """

    def __init__(
        self,
        reactor: Any,
        slots: int,
        jobs: JobsFolder,
        plan: JailPlan,
        meters: Meters | None = None,
        gateway: Gateway | None = None,
    ) -> None:
        self.isolation = NAMESPACES if meters is None else FULL
        self.network = gateway is not None
        self._meters = meters
        self._gateway = gateway
        self.runtimes = tuple(each.name for each in plan.interpreters)
        self.pool = SlotPool(reactor, slots, self._slot, lambda: succeed(None), MOST_RUNS)
        self.janitor = JanitorLink(reactor, lambda: plan.layout(jobs.path))
        self._reactor = reactor
        self._jobs = jobs
        self._plan = plan
        self._compiling: list[Deferred[None]] = []

    def start(self) -> None:
        """Start the slots, in the jobs' folder that has just been made."""
        adopt_orphans()
        self._plan.prepare(self._jobs.path)
        self._compiling = self._plan.compile(self._jobs.path, self._reactor)
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
        await within(self._reactor, gatherResults(self._compiling), STOP_S)
        if self._meters is not None:
            await self._meters.close()

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
            order = self._plan.order(job, grouped=self._meters is not None)
            inputs = make_inputs(order, job.code, job.stdin, FOLDER, job.files)
            try:
                running = slot.run(job.attempt, inputs, job.limits, started)
            finally:
                inputs.close()
        except OSError as error:
            raise SandboxError(f"the job cannot be handed over: {error}") from None
        self.pool.worked(slot)
        return running

    def _slot(self, number: int, owner: Owner, early: bool) -> Slot:
        gateway = self._gateway
        order = self._plan.zygote(number)  # before there is a group to remove, if it fails
        meter = self._meters.make() if self._meters is not None else None
        order["groups"] = meter.paths if meter is not None else []
        start = partial(self.janitor.start_zygote, order)
        try:
            return Slot(
                self._reactor, number, start, owner, early=early, warms=True, meter=meter,
                open_way=partial(gateway.open, number) if gateway is not None else None,
            )  # fmt: skip
        except OSError:
            if meter is not None:
                meter.remove()
            raise
