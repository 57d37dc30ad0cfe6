"""What follows a failed attempt: pure, and the only place that decides it."""

from __future__ import annotations

from attrs import frozen
from runyard.protocols.tasks import Ended, Outcome

BACKOFF_S = 0.25
BACKOFF_MOST_S = 30.0
REFUSED_S = 0.2


@frozen
class Retry:
    """Try again.

    Attributes:
        delay: Seconds of back-off.
        hold: Seconds in which the lost attempt may still be alive: it must not start elsewhere
            before them, unless its worker's death is proven.
    """

    delay: float
    hold: float = 0.0


@frozen
class Final:
    """Nothing more is tried: the task ends so."""

    ended: Ended


def backoff(number: int, luck: float) -> float:
    """Give the delay after an attempt, doubled each time; luck (0 to 1) spreads it by half."""
    return min(BACKOFF_S * 2.0 ** (number - 1), BACKOFF_MOST_S) * (0.75 + luck / 2)


def hold_time(heartbeat: float, silence: float) -> float:
    """Give the seconds after which a worker without its link has surely ended what it ran.

    It notices the silence at the first beat after it; a quarter is added for clocks that differ.
    """
    return (heartbeat + silence) * 1.25


def after_failure(
    ended: Ended, number: int, cap: int, luck: float, hold: float = 0.0
) -> Retry | Final:
    """Decide what follows an attempt that failed by no fault of the task.

    Args:
        ended: What the task becomes if nothing more is tried.
        number: The attempt's number, from 1.
        cap: How many attempts the task may have.
        luck: 0 to 1, for the back-off's jitter.
        hold: Seconds in which the lost attempt may still be alive.
    """
    if number < cap:
        return Retry(backoff(number, luck), hold)
    return Final(ended)


def failed_by_us(ended: Ended) -> bool:
    """Whether a worker's result says that it, not the task, failed."""
    return ended.outcome is Outcome.INTERNAL_FAIL
