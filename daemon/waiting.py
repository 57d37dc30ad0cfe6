"""Waiting for Deferreds, with an end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime


async def within(clock: IReactorTime, waited: Deferred[Any], seconds: float) -> bool:
    """Wait for a Deferred of our own (it is cancelled at the end); whether it fired in time.

    Raises:
        CancelledError: the wait itself was cancelled.
    """
    late = False

    def give_up() -> None:
        nonlocal late
        late = True
        waited.cancel()

    call = clock.callLater(seconds, give_up)
    try:
        await waited
    except CancelledError:
        if not late:
            raise
    finally:
        if call.active():
            call.cancel()
    return not late


def follow(source: Deferred[Any]) -> Deferred[None]:
    """Give a Deferred that fires with another, and that may be cancelled without it."""
    follower: Deferred[None] = Deferred()

    def fire(result: Any) -> Any:
        if not follower.called:
            follower.callback(None)
        return result

    source.addBoth(fire)
    return follower
