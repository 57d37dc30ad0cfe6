"""What follows a failed attempt: pure, and the only place that decides it."""

from __future__ import annotations

from attrs import frozen

from runyard.protocols.tasks import Ended, Outcome

BACKOFF_S = 0.25
BACKOFF_MOST_S = 30.0


@frozen
class Retry:
    """Try again after `delay` seconds."""

    delay: float


@frozen
class Final:
    """Nothing more is tried: the task ends so."""

    ended: Ended


def backoff(number: int, luck: float) -> float:
    """Give the delay after an attempt, doubled each time; luck (0 to 1) spreads it by half."""
    return min(BACKOFF_S * 2.0 ** (number - 1), BACKOFF_MOST_S) * (0.75 + luck / 2)


def after_failure(ended: Ended, number: int, cap: int, luck: float) -> Retry | Final:
    """Decide what follows an attempt that failed by no fault of the task.

    Args:
        ended: What the task becomes if nothing more is tried.
        number: The attempt's number, from 1.
        cap: How many attempts the task may have.
        luck: 0 to 1, for the back-off's jitter.
    """
    if number < cap:
        return Retry(backoff(number, luck))
    return Final(ended)


def failed_by_us(ended: Ended) -> bool:
    """Whether a worker's result says that it, not the task, failed."""
    return ended.outcome is Outcome.INTERNAL_FAIL
