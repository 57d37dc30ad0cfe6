"""A local worker that nobody speaks to any more ends itself."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Loneliness:
    """Calls `leave` when no controller has been linked for some seconds."""

    def __init__(self, clock: IReactorTime, seconds: float, leave: Callable[[], None]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._leave = leave
        self._call: IDelayedCall | None = None

    def links_changed(self, count: int) -> None:
        """Count the linked controllers anew; call it once with 0 to begin."""
        self.stop()
        if not count:
            self._call = self._clock.callLater(self._seconds, self._leave)

    def stop(self) -> None:
        """Stop watching."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None
