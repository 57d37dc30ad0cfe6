"""How long the reactor keeps others waiting."""

from __future__ import annotations

import time

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

BEAT_S = 0.005


async def measure_lag(clock: IReactorTime, seconds: float) -> dict[str, float]:
    """Watch the reactor for a while.

    Returns:
        `worst_ms`, the longest that a call came late; `worst_own_ms`, the same as far as this
        process itself was at work in that time (a machine that is busy with others makes a call
        late too); `beats`, how many calls were looked at.
    """
    end = clock.seconds() + seconds
    worst = own = 0.0
    beats = 0
    while (due := clock.seconds() + BEAT_S) < end:
        used = time.process_time()
        await deferLater(clock, BEAT_S)
        late = clock.seconds() - due
        worst = max(worst, late)
        own = max(own, min(late, time.process_time() - used))
        beats += 1
    return {
        "worst_ms": round(worst * 1000, 3), "worst_own_ms": round(own * 1000, 3), "beats": beats,
    }  # fmt: skip
