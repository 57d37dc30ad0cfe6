"""How well a worker does: a black hole, which fails all that it gets, is kept from getting more."""

from __future__ import annotations

from attrs import define, field

MOST_IN_ROW = 3
QUARANTINE_S = 5.0
QUARANTINE_MOST_S = 300.0
MOMENT_S = 0.1
"""What fails within it is one failure: a worker that dies takes all that it has."""
WEIGHT = 0.3
"""What the latest attempt counts in a running mean."""


@define
class Health:
    """What a worker's last attempts were like; kept by its name, since a new process may be as bad.

    After a few failures of ours in a row, of more than one task, it is quarantined; then it is
    tried with one task at a time: a success makes it whole, a failure quarantines it for twice as
    long.

    Attributes:
        failures: Running mean of attempts that failed by no doing of their task, 0 to 1.
        overhead_s: Running mean of what an attempt took beyond its program's own time.
        in_row: Failures since the last success; several at one moment are one.
        reason: What failed last.
        times: How often in a row it was quarantined.
        until: When its quarantine ends, in seconds of the clock; None when it is in none.
    """

    failures: float = 0.0
    overhead_s: float = 0.0
    in_row: int = 0
    reason: str = ""
    times: int = 0
    until: float | None = None
    _tasks: set[str] = field(factory=set)
    _failed_at: float | None = None

    @property
    def on_trial(self) -> bool:
        """Whether it gets one task at a time."""
        return self.times > 0 and self.until is None

    def worked(self, overhead_s: float | None = None) -> None:
        """An attempt ended as its task deserved."""
        self.failures *= 1 - WEIGHT
        self.in_row = self.times = 0
        self._tasks.clear()
        if overhead_s is not None:
            self.overhead_s += WEIGHT * (max(0.0, overhead_s) - self.overhead_s)

    def failed(self, task: str, why: str, now: float) -> float | None:
        """An attempt failed, no doing of its task; give the seconds of a quarantine that begins."""
        self.failures += WEIGHT * (1 - self.failures)
        self.reason = why
        if len(self._tasks) < MOST_IN_ROW:
            self._tasks.add(task)
        same = self._failed_at is not None and now - self._failed_at < MOMENT_S
        if same or self.until is not None:
            return None
        self._failed_at = now
        self.in_row += 1
        enough = self.in_row >= MOST_IN_ROW and len(self._tasks) > 1
        if not enough and not self.on_trial:
            return None
        pause = min(QUARANTINE_S * 2.0 ** min(self.times, 16), QUARANTINE_MOST_S)
        self.times += 1
        self.until = now + pause
        return pause
