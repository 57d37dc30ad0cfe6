"""The worker's slots: what runs in them, for whom, until when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define, evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from runyard.protocols.checked import Checked
from runyard.protocols.errors import Refused
from runyard.protocols.formats import Format
from runyard.protocols.tasks import Ended, Outcome, Reason
from runyard.worker.sandbox.interface import Ending, Job, RunningJob, Sandbox, SandboxError
from runyard.worker.verdict import unseen, verdict, with_check

TRACE_S = 0.1
"""How long a job's process has, at its wall limit, to tell where it is."""

log = Logger()


@define(eq=False)
class Execution:
    """A job that holds a slot."""

    job: Job
    ended: Callable[[Ended], None]
    running: RunningJob | None = None
    timer: IDelayedCall | None = None
    stopped: Reason | None = None
    checking: Deferred[None] | None = None


class OutputChecker(Protocol):
    """Knows formats, and checks outputs by them."""

    @property
    def names(self) -> list[str]:
        """The names that requests may use."""

    def knows(self, wanted: Format) -> bool:
        """Whether outputs can be checked so here."""

    def check(self, wanted: Format, output: bytes) -> Deferred[Checked]:
        """Check an output; fails only by being cancelled."""


class Executor:
    """Runs jobs in a fixed number of slots, holds each to its wall limit, has outputs checked."""

    def __init__(
        self,
        clock: IReactorTime,
        sandbox: Sandbox,
        slots: int,
        formats: OutputChecker | None = None,
    ) -> None:
        self.formats = formats
        self.slots = slots
        self.sandbox = sandbox
        self.draining = False
        self._clock = clock
        self._executions: dict[str, Execution] = {}
        self._idle: list[Deferred[None]] = []

    @property
    def attempts(self) -> frozenset[str]:
        """The attempts that hold a slot."""
        return frozenset(self._executions)

    @property
    def in_use(self) -> int:
        """How many slots hold a job."""
        return len(self._executions)

    def execute(
        self, job: Job, started: Callable[[], None], ended: Callable[[Ended], None]
    ) -> None:
        """Start a job; `ended` is called once, when nothing of it is left.

        Raises:
            Refused: there is no slot or no such runtime, or the worker drains; nothing has started.
        """
        self._admit(job)
        execution = Execution(job, ended)

        def on_start() -> None:
            execution.timer = self._clock.callLater(job.limits.wall_s, self._over, execution)
            started()

        try:
            execution.running = self.sandbox.run(job, on_start)
        except SandboxError as error:
            raise Refused(str(error)) from None
        self._executions[job.attempt] = execution
        execution.running.done.addCallbacks(
            self._judge, self._sandbox_failed, callbackArgs=(execution,), errbackArgs=(execution,)
        ).addErrback(self._bug, execution)

    def stop(self, attempt: str, reason: Reason) -> bool:
        """End an attempt's job; False when there is none of that name."""
        execution = self._executions.get(attempt)
        if execution is None:
            return False
        self._stop(execution, reason)
        return True

    def renew(self, attempt: str, seconds: float) -> None:
        """Let an attempt's job run on for so long from now, if nothing else ends it."""
        execution = self._executions.get(attempt)
        if execution is not None and execution.running is not None:
            execution.running.renew(seconds)

    def running(self, attempt: str) -> RunningJob | None:
        """Give an attempt's job while it holds a slot."""
        execution = self._executions.get(attempt)
        return execution.running if execution is not None else None

    def stop_all(self, reason: Reason) -> None:
        """End every job."""
        for execution in list(self._executions.values()):
            self._stop(execution, reason)

    def when_idle(self) -> Deferred[None]:
        """Fire when no slot holds a job."""
        waiter: Deferred[None] = Deferred()
        if self._executions:
            self._idle.append(waiter)
        else:
            waiter.callback(None)
        return waiter

    def _admit(self, job: Job) -> None:
        if self.draining:
            raise Refused("the worker is draining")
        if len(self._executions) >= self.slots:
            raise Refused(f"all {self.slots} slots are in use")
        if job.attempt in self._executions:
            raise Refused("this attempt runs here already")
        if job.language not in self.sandbox.runtimes:
            raise Refused(f"no runtime {job.language!r} here")
        if job.format is not None and (self.formats is None or not self.formats.knows(job.format)):
            raise Refused(f"no format {job.format.name!r} here")
        if job.network and not self.sandbox.network:
            raise Refused("no way to the network here")

    def _over(self, execution: Execution) -> None:
        """Its time is over: have it tell what it is doing, then end it.

        Not before its time: the signal for that interrupts calls of C libraries, which then return.
        """
        if execution.stopped is None and execution.running is not None:
            execution.stopped = Reason.TIMEOUT
            execution.timer = self._clock.callLater(TRACE_S, execution.running.kill)
            execution.running.trace()

    def _stop(self, execution: Execution, reason: Reason) -> None:
        if execution.stopped is None and execution.running is not None:
            execution.stopped = reason
            if execution.checking is not None:
                execution.checking.cancel()
            else:
                execution.running.kill()
        elif execution.stopped is Reason.TIMEOUT and execution.running is not None:
            self._disarm(execution)  # it was still to tell where it is
            execution.running.kill()

    def _judge(self, ending: Ending, execution: Execution) -> None:
        if ending.forsaken and execution.stopped is None:
            execution.stopped = Reason.LEASE
        job = execution.job
        ended = verdict(ending, job.limits, execution.stopped, self.sandbox.isolation, job.code)
        if ended.outcome is Outcome.SUCCESS and job.format is not None and self.formats is not None:
            self._disarm(execution)
            checking = self.formats.check(job.format, ended.stdout)
            execution.checking = checking.addCallbacks(
                self._checked, self._unchecked,
                callbackArgs=(execution, ended), errbackArgs=(execution, ended),
            )  # fmt: skip
            execution.checking.addErrback(self._bug, execution)
        else:
            self._finish(execution, ended)

    def _checked(self, checked: Checked, execution: Execution, ended: Ended) -> None:
        self._finish(execution, with_check(ended, checked))

    def _unchecked(self, failure: Failure, execution: Execution, ended: Ended) -> None:
        """It was stopped while its output was checked."""
        failure.trap(CancelledError)
        reason = execution.stopped or Reason.RESTART
        text = "It was stopped while its output was checked."
        stopped = evolve(ended, outcome=Outcome.CANCELLED, reason=reason, detail=text)
        self._finish(execution, stopped)

    def _sandbox_failed(self, failure: Failure, execution: Execution) -> None:
        failure.trap(SandboxError)
        why = failure.getErrorMessage()
        log.error("attempt {attempt}: {why}", attempt=execution.job.attempt, why=why)
        self._finish(execution, self._unseen(execution, why))

    def _bug(self, failure: Failure, execution: Execution) -> None:
        log.failure("attempt {attempt}", failure, attempt=execution.job.attempt)
        self._finish(execution, self._unseen(execution, "a fault of the worker's own"))

    def _unseen(self, execution: Execution, why: str) -> Ended:
        limits = execution.job.limits
        return unseen(why, limits, execution.stopped, self.sandbox.isolation)

    def _disarm(self, execution: Execution) -> None:
        if execution.timer is not None and execution.timer.active():
            execution.timer.cancel()

    def _finish(self, execution: Execution, ended: Ended) -> None:
        if self._executions.pop(execution.job.attempt, None) is None:
            return
        self._disarm(execution)
        execution.ended(ended)
        if not self._executions:
            waiters, self._idle = self._idle, []
            for waiter in waiters:
                waiter.callback(None)
