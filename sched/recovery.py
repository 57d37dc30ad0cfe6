"""What follows a failed attempt: pure, and the only place that decides it."""

from __future__ import annotations

from enum import Enum

from attrs import evolve, frozen

from runyard.protocols.errors import LinkLost, Loss
from runyard.protocols.tasks import Ended, Outcome, Reason, RetryPolicy

BACKOFF_S = 0.25
BACKOFF_MOST_S = 30.0
MOST_SHARED = 5
"""Losses shared with other tasks that cost a task nothing."""
MOST_UNDELIVERED = 2
"""Times that an attempt may not reach its worker and cost a task nothing."""
MOST_PROOFS = 2
"""Losses of its own, each while it ran alone on its worker, that end a task."""


class Fault(Enum):
    """How an attempt failed, by no doing of its program's."""

    FAILED = "failed"  # the worker could not run it
    CUT = "cut"  # the worker lives, but lost it
    ALONE = "alone"  # the worker died while nothing else ran there: this task may have done it
    SHARED = "shared"  # the worker died and took several: one of them may have done it
    OURS = "ours"  # the worker was told to stop, by us or by whoever runs it


@frozen
class Tally:
    """What has befallen a task so far.

    Attributes:
        counted: Failed attempts that count against its cap.
        shared: Losses that it shared with other tasks.
        proofs: Losses of its own.
        undelivered: Times that it did not reach its worker.
        own: Ends of its own doing after which it was tried again, because it asked for that.
    """

    counted: int = 0
    shared: int = 0
    proofs: int = 0
    undelivered: int = 0
    own: int = 0

    def with_fault(self, fault: Fault) -> Tally:
        """Give the tally after one more failed attempt."""
        shared = self.shared + (fault is Fault.SHARED)
        free = fault is Fault.OURS or (fault is Fault.SHARED and shared <= MOST_SHARED)
        return evolve(
            self,
            counted=self.counted + (not free),
            shared=shared,
            proofs=self.proofs + (fault is Fault.ALONE),
        )

    @property
    def suspect(self) -> bool:
        """Whether the task may be what killed a worker: it runs alone next."""
        return bool(self.shared or self.proofs)


@frozen
class Retry:
    """Try again after `delay` seconds."""

    delay: float


@frozen
class Final:
    """Nothing more is tried: the task ends so."""

    ended: Ended


def fault_of(error: LinkLost, *, draining: bool) -> Fault:
    """Tell how a lost attempt counts; a worker that was draining was about to end anyway."""
    if draining:
        return Fault.OURS
    if error.loss is Loss.LINK:
        return Fault.CUT
    return Fault.SHARED if error.others else Fault.ALONE


def backoff(number: int, luck: float, first: float = BACKOFF_S) -> float:
    """Give the delay after a failure, doubled each time; luck (0 to 1) spreads it by half."""
    doubled = min(first * 2.0 ** min(max(number, 1) - 1, 32), max(first, BACKOFF_MOST_S))
    return doubled * (0.75 + luck / 2)


def after_fault(ended: Ended, tally: Tally, cap: int, luck: float) -> Retry | Final:
    """Decide what follows an attempt that failed by no doing of its program's.

    Args:
        ended: What the task becomes if nothing more is tried.
        tally: What has befallen the task, this attempt included.
        cap: How many attempts the task may have; 1 means that it is never started twice.
        luck: 0 to 1, for the back-off's jitter.
    """
    if tally.proofs >= MOST_PROOFS:
        text = f"Its worker was lost {tally.proofs} times while it alone ran there. {ended.detail}"
        return Final(evolve(ended, outcome=Outcome.NETWORK_FAIL, reason=Reason.POISON, detail=text))
    if cap == 1 or tally.counted >= cap:
        return Final(ended)
    return Retry(backoff(tally.counted + tally.shared, luck))


def after_end(ended: Ended, asked: RetryPolicy | None, tally: Tally, luck: float) -> Retry | Final:
    """Decide what follows an end of the program's own doing: its result, unless it asked else."""
    if asked is None or tally.own >= asked.most or not asked.on & {ended.outcome, ended.reason}:
        return Final(ended)
    return Retry(backoff(tally.own + 1, luck, asked.backoff))


def failed_by_us(ended: Ended) -> bool:
    """Whether a worker's result says that it, not the task, failed."""
    return ended.outcome is Outcome.INTERNAL_FAIL
