"""Signs of life on a link."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall


class Heartbeat:
    """Pings at an interval and reports a peer from which nothing came for too long."""

    def __init__(
        self,
        clock: IReactorTime,
        interval: float,
        silence: float,
        ping: Callable[[], None],
        silent: Callable[[float], None],
    ) -> None:
        self._clock = clock
        self._silence = silence
        self._ping = ping
        self._silent = silent
        self._last = clock.seconds()
        self._loop = LoopingCall(self._beat)
        self._loop.clock = clock
        self._loop.start(interval, now=False)

    def alive(self) -> None:
        """Something came from the peer."""
        self._last = self._clock.seconds()

    def stop(self) -> None:
        """Stop watching."""
        if self._loop.running:
            self._loop.stop()

    def _beat(self) -> None:
        quiet = self._clock.seconds() - self._last
        if quiet > self._silence:
            self.stop()
            self._silent(quiet)
        else:
            self._ping()
