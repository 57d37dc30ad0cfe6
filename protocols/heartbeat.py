"""Signs of life on a link."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

LEAST_S = 0.05
"""The shortest interval; a peer that asks for 0 would keep the reactor busy with nothing else."""


class Heartbeat:
    """Pings at an interval, and reports a peer that says nothing or reads nothing for too long.

    `blocked` gives 0 while the peer reads what we write, and else the number of the present stop:
    a peer that only talks would otherwise have us hold what it was sent for ever.
    """

    def __init__(
        self,
        clock: IReactorTime,
        interval: float,
        silence: float,
        ping: Callable[[], None],
        dead: Callable[[str], None],
        blocked: Callable[[], int] = lambda: 0,
    ) -> None:
        self._clock = clock
        self._silence = silence
        self._ping = ping
        self._dead = dead
        self._blocked = blocked
        self._last = self._stopped_at = clock.seconds()
        self._stop_number = 0
        self._loop = LoopingCall(self._beat)
        self._loop.clock = clock
        self._loop.start(max(interval, LEAST_S), now=False)

    def alive(self) -> None:
        """Something came from the peer."""
        self._last = self._clock.seconds()

    def stop(self) -> None:
        """Stop watching."""
        if self._loop.running:
            self._loop.stop()

    def _beat(self) -> None:
        now = self._clock.seconds()
        quiet, unread = now - self._last, self._unread(now)
        if quiet > self._silence:
            self._end(f"nothing came for {quiet:g} s")
        elif unread > self._silence:
            self._end(f"it has read nothing of what it was sent for {unread:g} s")
        else:
            self._ping()

    def _unread(self, now: float) -> float:
        number = self._blocked()
        if number != self._stop_number:
            self._stop_number, self._stopped_at = number, now
        return now - self._stopped_at if number else 0.0

    def _end(self, why: str) -> None:
        self.stop()
        self._dead(why)
