"""A client that sends too slowly holds a connection, not the server."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Pace:
    """Times one request: its head as a whole, then its body by what each period brings."""

    def __init__(self, clock: IReactorTime, head: float, too_slow: Callable[[float], None]) -> None:
        self._clock = clock
        self._too_slow = too_slow
        self._bytes = 0
        self._period = head
        self._rate = 0.0
        self._call: IDelayedCall | None = clock.callLater(head, self._ended)

    def took(self, size: int) -> None:
        """Count bytes that came."""
        self._bytes += size

    def expect(self, period: float, rate: float) -> None:
        """The head is whole: from here on each period must bring `rate` bytes a second."""
        self.stop()
        self._bytes, self._period, self._rate = 0, period, rate
        self._call = self._clock.callLater(period, self._ended)

    def _ended(self) -> None:
        self._call = None
        if self._rate and self._bytes >= self._rate * self._period:
            self._bytes = 0
            self._call = self._clock.callLater(self._period, self._ended)
        else:
            self._too_slow(self._period)

    def stop(self) -> None:
        """Stop timing."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
