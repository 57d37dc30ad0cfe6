"""SIGTERM and SIGINT: stop in order, and exit with 0 when that has gone well. SIGHUP: read anew.

A daemon that has nothing to read anew takes a SIGHUP for a SIGTERM: its terminal is gone.

twistd's own handlers would end the process by the same signal after the drain, which a service
manager takes for a crash, and fail on the second one.
"""

from __future__ import annotations

import contextlib
import gc
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

SAME_S = 1.0

log = Logger()


def stop(reactor: Any) -> None:
    """Stop the reactor, unless it is stopping already."""
    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()


def stop_on_signals(
    reactor: Any, hurry: Callable[[], None], reload: Callable[[], None] | None = None
) -> None:
    """Install our handlers once the reactor runs; a second signal calls `hurry`.

    With `reload`, a SIGHUP calls that and stops nothing.
    """
    seen: list[float] = []

    def take(number: int) -> None:
        name = signal.Signals(number).name
        if number == signal.SIGHUP and reload is not None:
            log.info("{name}: reading anew", name=name)
            reload()
            return
        seen.append(reactor.seconds())
        if len(seen) > 1 and seen[-1] - seen[0] < SAME_S:
            return  # one wish: a group's signal, and the same passed on by a parent
        if len(seen) == 1:
            log.info("{name}: stopping in order; once more to hurry", name=name)
            stop(reactor)
        else:
            log.info("{name}: hurrying", name=name)
            hurry()

    def handle(number: int, frame: object) -> None:
        reactor.callFromThread(take, number)

    def install() -> None:
        gc.collect()
        gc.freeze()  # what the imports made is never garbage: collections stay short
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, handle)

    reactor.callWhenRunning(install)
