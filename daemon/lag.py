"""How long the reactor keeps others waiting."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

BEAT_S = 0.005


async def measure_lag(clock: IReactorTime, seconds: float) -> dict[str, float]:
    """Watch the reactor for a while.

    Returns:
        `worst_ms`, the longest that a call came late, and `beats`, how many were looked at.
    """
    end = clock.seconds() + seconds
    worst, beats = 0.0, 0
    while (due := clock.seconds() + BEAT_S) < end:
        await beat(clock)
        worst = max(worst, clock.seconds() - due)
        beats += 1
    return {"worst_ms": round(worst * 1000, 3), "beats": beats}


def beat(clock: IReactorTime) -> Deferred[None]:
    """Fire after one beat."""
    return deferLater(clock, BEAT_S)
