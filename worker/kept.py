"""Results that wait for their acknowledgement, bounded in number, bytes and time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from runyard.protocols.messages import Result

MOST_BYTES = 256 * 1024 * 1024
MOST = 1024
KEEP_S = 3600.0

log = Logger()


@frozen
class _Kept:
    result: Result
    until: float

    @property
    def size(self) -> int:
        return len(self.result.stdout) + len(self.result.stderr) + len(self.result.files)


class KeptResults:
    """The results of one controller's attempts, the oldest first.

    What passes a bound is dropped, the oldest first, with a line in the log. `dropped` is called
    when the time of some was over.
    """

    def __init__(self, clock: IReactorTime, keep: float, dropped: Callable[[], None]) -> None:
        self._clock = clock
        self._keep = keep
        self._dropped = dropped
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, attempt: str) -> bool:
        return attempt in self._kept

    def get(self, attempt: str) -> Result | None:
        """Give an attempt's result, if it is kept."""
        kept = self._kept.get(attempt)
        return kept.result if kept is not None else None

    def add(self, result: Result) -> None:
        """Keep a result; it may be dropped at once where it passes a bound by itself."""
        self._kept[result.attempt] = _Kept(result, self._clock.seconds() + self._keep)
        size = sum(kept.size for kept in self._kept.values())
        while self._kept and (len(self._kept) > MOST or size > MOST_BYTES):
            attempt, kept = self._kept.popitem(last=False)
            size -= kept.size
            log.warn("the result of {attempt} was dropped: too many wait", attempt=attempt)
        self._set_timer()

    def forget(self, attempt: str) -> None:
        """Forget a result: it was acknowledged."""
        self._kept.pop(attempt, None)
        self._set_timer()

    def retain(self, wanted: Collection[str]) -> None:
        """Forget what is not wanted."""
        for attempt in set(self._kept) - set(wanted):
            del self._kept[attempt]
        self._set_timer()

    def _set_timer(self) -> None:
        """Have one timer, for the oldest, while there is one."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        oldest = next(iter(self._kept.values()), None)
        if oldest is not None:
            left = max(0.0, oldest.until - self._clock.seconds())
            self._timer = self._clock.callLater(left, self._over)

    def _over(self) -> None:
        now = self._clock.seconds()
        over = [attempt for attempt, kept in self._kept.items() if kept.until <= now]
        for attempt in over:
            del self._kept[attempt]
        if over:
            log.warn(
                "{count} results were dropped, of {first} and later: not taken in {keep:g} s",
                count=len(over), first=over[0], keep=self._keep,
            )  # fmt: skip
        self._set_timer()
        self._dropped()
